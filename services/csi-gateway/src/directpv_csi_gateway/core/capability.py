"""What a caller wants to do with a volume: CSI VolumeCapability, narrowed to what a directory on XFS can be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.mount_options import POSSIBLE, flags_of, is_known
from directpv_common.protocol.names import FS_TYPE
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


@dataclass(frozen=True)
class Access:
    """How one volume is to be mounted."""

    read_only: bool
    single_writer: bool
    """One target path at a time."""
    flags: tuple[str, ...]
    """What the mount must have, sorted."""


def access_of(field: str, capability: pb.VolumeCapability, *, strict: bool = True) -> Access:
    """Return what ``capability`` asks for.

    Args:
        field: What errors call it.
        capability: What is asked.
        strict: Whether mount options that no volume can have are refused. DirectPV v4 looked at none, so those of its
            volumes must pass, or they could never be mounted again.

    Raises:
        InvalidRequest: Block access, another file system, a mode over several nodes, or an option that a bind mount
            cannot carry.
    """
    kind = capability.WhichOneof("access_type")
    if kind is None:
        raise refused(f"{field}.access_type", "missing; ask for mount")
    if kind == "block":
        raise refused(f"{field}.block", "raw block volumes are not offered; ask for mount (volumeMode: Filesystem)")
    mode = _mode(field, capability)
    flags = _mount(f"{field}.mount", capability.mount, strict=strict)
    read_only = mode == _Mode.SINGLE_NODE_READER_ONLY or "ro" in flags
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


def _mount(field: str, mount: pb.VolumeCapability.MountVolume, *, strict: bool) -> tuple[str, ...]:
    if mount.fs_type not in ("", FS_TYPE):
        raise refused(f"{field}.fs_type", f"{shown(mount.fs_type)} is not offered; use '{FS_TYPE}' or leave it empty")
    if mount.volume_mount_group:
        raise refused(f"{field}.volume_mount_group", "is not offered; leave it empty and let kubelet set the group")
    options = tuple(mount.mount_flags)
    if strict:
        _check_options(f"{field}.mount_flags", options)
    return flags_of(options)


def _check_options(field: str, options: tuple[str, ...]) -> None:
    if sum(len(option.encode()) for option in options) > MAP_BYTES:
        raise refused(field, f"longer than {MAP_BYTES} bytes in all; remove some")
    for option in options:
        if not is_known(option):
            # What follows '=' may be confidential, says the specification.
            name = shown(option.partition("=")[0])
            raise refused(
                field,
                f"{name} cannot be set for one volume; remove it from mountOptions. Possible: {', '.join(POSSIBLE)}",
            )
