"""Where volumes are in the mount table. Reads it, and changes nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.messages import VolumeUse
from directpv_nodeagent.linux.core.mountinfo import MOUNT_FLAGS, Mount, MountTable

_KUBELETS: Final = re.compile(r"/(globalmount|volumes/kubernetes\.io~csi/[^/]+/mount)\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a volume's data is: directory ``/<name>`` of the file system on ``device`` (``major:minor``)."""

    name: str
    device: str

    @property
    def root(self) -> str:
        """The directory as the mount table shows it."""
        return f"/{self.name}"

    def is_at(self, mount: Mount | None) -> bool:
        """Tell whether ``mount`` shows exactly the volume's directory."""
        return mount is not None and mount.device == self.device and mount.root == self.root


def published(table: MountTable, place: Place, staging: str) -> list[str]:
    """Return the paths where the volume is mounted, apart from ``staging``, sorted."""
    return sorted({mount.path for mount in _mounts_of(table, place)} - {staging})


def _mounts_of(table: MountTable, place: Place) -> list[Mount]:
    """Return the mounts of a volume; what others see of one because places are shared (its twins) are none."""
    return table.firsts(mount for mount in table.of(place.device) if mount.root == place.root)


def use_of(table: MountTable, place: Place, staging: str = "") -> VolumeUse:
    """Return where a volume is mounted.

    Args:
        table: The mount table, with the mounts that those of the volume lie on.
        place: The volume.
        staging: Its staging path if that is known. Otherwise kubelet's name for it decides, else that the volume is
            mounted at the staging path first, and the table has the order in which mounts were made.
    """
    paths = list(dict.fromkeys(mount.path for mount in _mounts_of(table, place)))
    if staging not in paths:
        named = [path for path in paths if path.endswith("/globalmount")]
        staging = next(iter(named or paths), "")
    return VolumeUse(staged=staging, published=tuple(sorted(set(paths) - {staging})))


def use_with(use: VolumeUse, path: str, staging: str = "") -> VolumeUse:
    """Return the use of a volume that is mounted at ``path``, too.

    Args:
        use: Where it was mounted.
        path: Where it is now; its staging path or a target.
        staging: Its staging path, where it is mounted as well; empty if that is not known.
    """
    staged = staging or use.staged
    return VolumeUse(staged=staged, published=tuple(sorted({path, use.staged, *use.published} - {staged, ""})))


def use_without(use: VolumeUse, path: str) -> VolumeUse:
    """Return the use of a volume that is not mounted at ``path`` any more."""
    staged = "" if use.staged == path else use.staged
    return VolumeUse(staged=staged, published=tuple(other for other in use.published if other != path))


def is_kubelets(path: str) -> bool:
    """Tell whether ``path`` is a staging or target path as kubelet makes them; source: kubelet, ``pkg/volume/csi``."""
    return _KUBELETS.search(path) is not None


def flags_of_kubelets(mounts: Iterable[Mount]) -> dict[str, frozenset[str]]:
    """Return the flags of those of ``mounts`` that are at kubelet's paths, by path: other mounts may be anybody's."""
    return {m.path: m.flags.intersection(MOUNT_FLAGS) for m in mounts if is_kubelets(m.path)}


def mounted_at(table: MountTable, place: Place) -> list[str]:
    """Return every path at which the volume, or a part of it, is mounted."""
    return sorted({mount.path for mount in table.firsts(table.showing(place.device, place.root))})


def describe_paths(paths: Iterable[str], shown: int = 5) -> str:
    """Return ``paths`` for a message, the first few by name."""
    known = list(paths)
    rest = f" and {len(known) - shown} more" if len(known) > shown else ""
    return f"{', '.join(known[:shown])}{rest}"
