"""What a stack holds: drives and volumes, told by the drives themselves, whether any process runs or not."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from directpv_cli.local.machine import disks
from directpv_cli.local.machine.places import DRIVES
from directpv_common.protocol.counts import counted
from directpv_common.protocol.units import format_bytes

_XFS: Final = b"XFSB"
"""What an XFS begins with. Source: XFS Algorithms & Data Structures, superblocks."""
_BLOCK: Final = 512
"""Bytes of a block as stat counts them; stat(2)."""
_DELETED: Final = ".deleted"
NAMED: Final = 5
"""Volumes that are named where there are more."""


class Holdings(NamedTuple):
    """What would be gone with a stack."""

    drives: int
    """That are initialised."""
    volumes: tuple[str, ...]
    used: int
    """Bytes that these volumes occupy."""
    unseen: int
    """Drives that are not mounted or cannot be read: nobody knows what is on them."""

    @property
    def matter(self) -> bool:
        """Whether somebody may miss it."""
        return bool(self.used or self.unseen)

    @property
    def gone(self) -> str:
        """What is deleted with the stack, in words."""
        return f"{counted(self.drives, 'drive')} and {counted(len(self.volumes), 'volume')}"

    def __str__(self) -> str:
        some = ", ".join(self.volumes[:NAMED]) + f" and {len(self.volumes) - NAMED} more" * (len(self.volumes) > NAMED)
        volumes = f"{counted(len(self.volumes), 'volume')} with {format_bytes(self.used)} of data"
        return "; ".join(
            filter(
                None,
                [
                    f"{counted(self.drives, 'drive')}, {volumes}" + f" ({some})" * bool(some),
                    f"what is on {counted(self.unseen, 'drive')} cannot be seen now: `directpv up` shows it"
                    if self.unseen
                    else "",
                ],
            )
        )


def of(directory: Path) -> Holdings:
    """Return what the stack in ``directory`` holds; reads its drives, and changes nothing."""
    volumes, used, seen = set[str](), 0, 0
    for drive in directory.glob(f"nodes/*/root/{DRIVES}/*"):
        try:
            if not os.path.ismount(drive):
                continue
            found = {path.name: _occupied(path) for path in _volumes(drive)}
        except OSError:
            continue
        seen, used = seen + 1, used + sum(found.values())
        volumes |= set(found)
    drives = initialised(directory)
    return Holdings(drives, tuple(sorted(volumes)), used, max(0, drives - seen))


def initialised(directory: Path) -> int:
    """Return how many drives of the stack in ``directory`` are initialised; reads no more than their first bytes."""
    return sum(map(_has_file_system, disks.images(directory)))


def _has_file_system(image: Path) -> bool:
    try:
        with image.open("rb") as file:
            return file.read(len(_XFS)) == _XFS
    except OSError:
        return True


def _volumes(drive: Path) -> Iterator[Path]:
    """Yield the directories of a mounted drive's volumes; what begins with a dot is the agent's."""
    for entry in drive.iterdir():
        if not entry.name.startswith(".") and not entry.name.endswith(_DELETED) and entry.is_dir():
            yield entry


def _occupied(directory: Path) -> int:
    """Return the bytes that files below ``directory`` occupy; an empty file counts as one.

    Raises:
        OSError: The drive cannot be read.
    """

    def failed(error: OSError) -> None:
        raise error

    total = 0
    for parent, _, files in os.walk(directory, onerror=failed):
        total += sum(max(1, os.lstat(os.path.join(parent, name)).st_blocks * _BLOCK) for name in files)
    return total
