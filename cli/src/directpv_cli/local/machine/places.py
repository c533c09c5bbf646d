"""Where people had volumes of a stack mounted, and what stands in there for one that is suspended.

A place is noted before anything is mounted, and forgotten after it is gone: the agent knows where a volume is mounted,
but what stands in for a suspended volume is none.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER: Final = "mounted"
STAND_IN: Final = "tmp"
"""Below an agent's root directory: the empty file system that suspended volumes show."""
DRIVES: Final = "mnt"
"""Below an agent's root directory: a mount point for each drive, called as its file system."""


def note(directory: Path, volume: str, target: str) -> None:
    """Remember that ``volume`` of the stack in ``directory`` is mounted at ``target``; a repeat changes nothing."""
    link = _link(directory, volume, target)
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(target, link)


def forget(directory: Path, volume: str, targets: Iterable[str]) -> None:
    """Remember no more that ``volume`` is at ``targets``."""
    for target in targets:
        _link(directory, volume, target).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _folder(directory, volume).rmdir()


def noted(directory: Path, volume: str) -> list[str]:
    """Return where people had ``volume`` mounted."""
    try:
        return sorted(os.readlink(link) for link in _folder(directory, volume).iterdir())
    except FileNotFoundError:
        return []


def stand_ins(directory: Path, volume: str, root: str) -> list[str]:
    """Return the noted places that show the stand-in of the node whose agent's root directory is ``root``."""
    return [target for target in noted(directory, volume) if shows_stand_in(root, target)]


def shows_stand_in(root: str, target: str) -> bool:
    """Tell whether ``target`` shows the empty file system of suspended volumes of that node's agent."""
    source = f"{root}/{STAND_IN}"
    try:
        return os.path.ismount(source) and os.stat(target).st_dev == os.stat(source).st_dev
    except OSError:
        return False


def is_ours(root: str, fsuuid: str, target: str) -> bool:
    """Tell whether ``target`` shows the drive with that file system, or what stands in for its volumes."""
    try:
        return os.stat(target).st_dev == os.stat(f"{root}/{DRIVES}/{fsuuid}").st_dev or shows_stand_in(root, target)
    except OSError:
        return shows_stand_in(root, target)


def shows_volume(root: str, volume: str, target: str) -> bool:
    """Tell whether ``target`` shows the volume as any drive of that node has it, whichever drive the registry names."""
    for drive in Path(root, DRIVES).glob("*"):
        with contextlib.suppress(OSError):
            if os.path.samefile(drive / volume, target):
                return True
    return False


def is_mount_point(target: str) -> bool:
    """Tell whether anything is mounted at ``target``, also what has failed."""
    try:
        return os.path.ismount(target)
    except OSError:
        return True


def _folder(directory: Path, volume: str) -> Path:
    return directory / FOLDER / volume


def _link(directory: Path, volume: str, target: str) -> Path:
    return _folder(directory, volume) / hashlib.sha256(target.encode(errors="surrogateescape")).hexdigest()[:32]
