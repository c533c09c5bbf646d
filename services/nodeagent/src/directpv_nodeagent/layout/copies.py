"""Copies of volumes that are moved to a drive: one directory each, in ``.directpv/incoming/``. Blocks."""

import errno
import os

from directpv_common.protocol.messages import HeldCopy, is_volume_name
from directpv_nodeagent.layout.core.layout import COPIED, INCOMING_DIR, META_DIR
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.linux import files


def names(drive: DriveDir) -> list[str]:
    """Return the volumes of which there is a copy, sorted; makes nothing."""
    try:
        with files.opened(META_DIR, drive.root) as meta, files.opened(INCOMING_DIR, meta) as copies:
            return sorted(filter(is_volume_name, os.listdir(copies)))
    except FileNotFoundError:
        return []


def read(drive: DriveDir, name: str) -> HeldCopy | None:
    """Return what is there of a volume; None: no copy."""
    try:
        with (
            files.opened(META_DIR, drive.root) as meta,
            files.opened(INCOMING_DIR, meta) as copies,
            files.opened(name, copies) as copy,
        ):
            words = os.getxattr(copy, COPIED).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        words = ""
    move, _, incarnation = words.partition(" ")
    return HeldCopy(name=name, move=move, incarnation=incarnation)
