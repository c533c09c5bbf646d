"""How a drive is formatted.

Source: upstream's flags. Newer mkfs.xfs switches features on that older kernels cannot mount, so a feature is
switched off where this node's kernel is older than it; on a current kernel the flags are upstream's exactly, and the
drive gets what they bring: time stamps beyond 2038 (``bigtime``) and faster mounts (``inobtcount``).
Kernel and xfsprogs versions: release notes of both.
"""

import re
from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.names import FS_LABEL

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of XFS that mkfs may switch on by itself."""

    option: tuple[str, str]
    kernel: Version
    """First that mounts it read-write."""
    mkfs: Version
    """First that knows the option; an older one would refuse it."""


FEATURES: Final = (
    Feature(("-m", "reflink=0"), kernel=(4, 9), mkfs=(4, 9)),
    Feature(("-m", "bigtime=0"), kernel=(5, 10), mkfs=(5, 10)),
    Feature(("-m", "inobtcount=0"), kernel=(5, 10), mkfs=(5, 10)),
    Feature(("-i", "nrext64=0"), kernel=(5, 19), mkfs=(5, 19)),
    Feature(("-i", "exchange=0"), kernel=(6, 10), mkfs=(6, 10)),
    Feature(("-n", "parent=0"), kernel=(6, 10), mkfs=(6, 10)),
)

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def parse_version(text: str) -> Version | None:
    """Return the first ``<major>.<minor>`` in ``text``."""
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2])) if match else None


def mkfs_arguments(fsuuid: str, *, force: bool, kernel: Version | None, mkfs: Version | None) -> tuple[str, ...]:
    """Return the arguments of mkfs.xfs, without the device.

    Args:
        fsuuid: UUID of the new file system: the drive's id.
        force: Overwrite what is there.
        kernel: Version of the kernel that will mount it; unknown counts as current.
        mkfs: Version of mkfs.xfs; unknown counts as knowing no option.
    """
    arguments = ["-i", "maxpct=50", "-m", f"uuid={fsuuid}"]
    for feature in FEATURES:
        if kernel and mkfs and kernel < feature.kernel and mkfs >= feature.mkfs:
            arguments += feature.option
    return (*arguments, *(["-f"] if force else []), "-L", FS_LABEL)
