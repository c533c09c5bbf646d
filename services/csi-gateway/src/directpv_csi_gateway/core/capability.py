"""What a caller wants to do with a volume: CSI VolumeCapability, narrowed to what a directory on XFS can be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from directpv_common.names import FS_TYPE
from directpv_csi_gateway.core.checks import MAP_BYTES, refused, shown
from directpv_csi_gateway.pb import csi_pb2 as pb

_Mode = pb.VolumeCapability.AccessMode

MODES: Final = frozenset(
    {
        _Mode.SINGLE_NODE_WRITER,
        _Mode.SINGLE_NODE_READER_ONLY,
        _Mode.SINGLE_NODE_SINGLE_WRITER,
        _Mode.SINGLE_NODE_MULTI_WRITER,
    }
)
"""A local drive is reached from one node only."""

MOUNT_FLAGS: Final = frozenset(
    {
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "atime",
        "noatime",
        "relatime",
        "strictatime",
        "diratime",
        "nodiratime",
    }
)
"""Flags that belong to one mount, and not to the file system below it; see mount_setattr(2)."""


@dataclass(frozen=True)
class Access:
    """How one volume is to be mounted."""

    read_only: bool
    single_writer: bool
    """One target path at a time."""
    flags: tuple[str, ...]


def access_of(field: str, capability: pb.VolumeCapability) -> Access:
    """Return what ``capability`` asks for.

    Raises:
        InvalidRequest: Block access, another file system, a mode over several nodes, or a flag that a bind mount
            cannot carry.
    """
    kind = capability.WhichOneof("access_type")
    if kind is None:
        raise refused(f"{field}.access_type", "missing; ask for mount")
    if kind == "block":
        raise refused(f"{field}.block", "raw block volumes are not offered; ask for mount (volumeMode: Filesystem)")
    mode = _mode(field, capability)
    flags = _mount(f"{field}.mount", capability.mount)
    read_only = mode == _Mode.SINGLE_NODE_READER_ONLY or _last(flags, "ro", "rw") == "ro"
    return Access(read_only=read_only, single_writer=mode == _Mode.SINGLE_NODE_SINGLE_WRITER, flags=flags)


def all_supported(field: str, capabilities: Sequence[pb.VolumeCapability]) -> None:
    """Check a list of capabilities that one volume must have.

    Raises:
        InvalidRequest: None is given, or one is not supported; names its place in the list.
    """
    if not capabilities:
        raise refused(field, "missing; give at least one capability")
    for index, capability in enumerate(capabilities):
        access_of(f"{field}[{index}]", capability)


def _mode(field: str, capability: pb.VolumeCapability) -> int:
    mode: int = capability.access_mode.mode
    if mode == _Mode.UNKNOWN:
        raise refused(f"{field}.access_mode.mode", f"missing; use one of {_names(MODES)}")
    if mode not in MODES:
        name = _Mode.Mode.Name(mode) if mode in _Mode.Mode.values() else str(mode)
        raise refused(
            f"{field}.access_mode.mode",
            f"{name} is not offered, since a local drive is reached from one node only; use one of {_names(MODES)}",
        )
    return mode


def _names(modes: Iterable[int]) -> str:
    return ", ".join(_Mode.Mode.Name(mode) for mode in sorted(modes))


def _mount(field: str, mount: pb.VolumeCapability.MountVolume) -> tuple[str, ...]:
    if mount.fs_type not in ("", FS_TYPE):
        raise refused(f"{field}.fs_type", f"{shown(mount.fs_type)} is not offered; use '{FS_TYPE}' or leave it empty")
    if mount.volume_mount_group:
        raise refused(f"{field}.volume_mount_group", "is not offered; leave it empty and let kubelet set the group")
    if not mount.mount_flags:
        return ()
    flags = tuple(mount.mount_flags)
    if sum(len(flag.encode()) for flag in flags) > MAP_BYTES:
        raise refused(f"{field}.mount_flags", f"longer than {MAP_BYTES} bytes in all; remove some")
    for flag in flags:
        if flag not in MOUNT_FLAGS:
            # What follows '=' may be confidential, says the specification.
            name = shown(flag.partition("=")[0])
            raise refused(
                f"{field}.mount_flags",
                f"{name} cannot be set for one volume; remove it from mountOptions. "
                f"Possible: {', '.join(sorted(MOUNT_FLAGS))}",
            )
    return flags


def _last(flags: tuple[str, ...], *of: str) -> str:
    """Return which of ``of`` comes last in ``flags``, as mount(8) reads them; empty if none does."""
    return next((flag for flag in reversed(flags) if flag in of), "")
