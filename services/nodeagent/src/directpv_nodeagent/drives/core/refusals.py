"""Why the kernel would not mount a drive, in words, and what people can do about it. Decides only.

Source: mount(2); fs/xfs/xfs_super.c and libxfs/xfs_sb.c of Linux 4.19 to 6.18; what was tried on 6.1 and 6.18.
"""

import errno
from collections.abc import Sequence
from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """What happened, and what to do; empty advice: what is advised for any mount that fails."""

    cause: str
    advice: str = ""


_SECTORS: Final = (
    "connect the disk as it was when it was formatted: its controller or enclosure now shows sectors of another size; "
    "nothing on it is damaged"
)
_FEATURES: Final = (
    "start the node with a kernel that knows the file system's features: a newer one made or repaired it; nothing on "
    "it is damaged, do not repair it here"
)
_READ_ONLY: Final = (
    "find out why the device is write-protected (blockdev --getro; a switch, a snapshot, a worn-out SSD); the drive is "
    "mounted by itself when it can be written"
)
_BUSY: Final = "wait until they end, or end them; the drive is mounted by itself then"
_NOISE: Final = ("Mounting V", "Ending clean mount", "Unmounting Filesystem", "Quotacheck")


def refusal(number: int, words: str, said: Sequence[str], holders: Sequence[str] = ()) -> Refusal:
    """Return what to tell.

    Args:
        number: errno of mount(2).
        words: Its text.
        said: What the kernel logged meanwhile.
        holders: Processes that have the device open, as pid and name.
    """
    reasons = [line for line in dict.fromkeys(said) if not line.startswith(_NOISE)]
    kernel = f"; the kernel says: {'; '.join(reasons)}" if reasons else ""
    text = " ".join(reasons).lower()
    if number == errno.EBUSY:
        return Refusal(
            f"the device is in use by {', '.join(holders) or 'a program that cannot be seen from here'}", _BUSY
        )
    if number in (errno.EACCES, errno.EROFS):
        return Refusal(f"the device is read-only ({words}){kernel}", _READ_ONLY)
    if "byte sectors" in text or "sector size" in text:
        return Refusal(f"{words}{kernel}", _SECTORS)
    if "unknown" in text and "feature" in text:
        return Refusal(f"{words}{kernel}", _FEATURES)
    return Refusal(f"{words}{kernel}")
