"""What was last known of each drive of this node, and on which disk it was, kept on the node. Blocks.

A drive that cannot be read or mounted cannot say whose it is. If it was this node's when it was last seen, people are
told that it is here and why it cannot be used; nothing else is concluded from what stands here.
"""

import contextlib
import logging
import os
import secrets
from pathlib import Path

import msgspec

from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import DriveRecord
from directpv_common.protocol.wire import decode, encode_pretty
from directpv_nodeagent.layout.core.layout import KNOWN_DIR, RECORD_SUFFIX

log = logging.getLogger(__name__)


class Remembered(DriveRecord, frozen=True, kw_only=True):
    """A drive as it was last seen."""

    disk: str = ""
    """Identity of its disk, see :mod:`directpv_nodeagent.devices.core.disk_identity`; empty: the disk tells none."""


def note(root: str, record: DriveRecord, disk: str) -> None:
    """Keep a drive's record; a failure is logged: it costs words after a restart.

    What was on the disk before, if it carried another drive, is not on it any more.

    Args:
        root: The agent's directory.
        record: As it stands on the drive.
        disk: Identity of its disk; may be empty.
    """
    if not _write(root, Remembered(**msgspec.structs.asdict(record), disk=disk)) or not disk:
        return
    for fsuuid in [fsuuid for fsuuid, other in disks(root).items() if other == disk and fsuuid != record.fsuuid]:
        if (before := _recall(_path(root, fsuuid))) is not None:
            _write(root, msgspec.structs.replace(before, disk=""))


def _write(root: str, drive: Remembered) -> bool:
    """Keep what is known of a drive; tell whether that was news, and was kept."""
    path, data = _path(root, drive.fsuuid), encode_pretty(drive)
    new = path.with_name(f"new-{secrets.token_hex(4)}")
    try:
        if path.exists() and path.read_bytes() == data:
            return False
        path.parent.mkdir(mode=0o755, exist_ok=True)
        new.write_bytes(data)
        os.replace(new, path)
    except OSError as error:
        log.warning("record of a drive not kept", extra={"path": str(path), "error": str(error)})
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return False
    return True


def recall(root: str, fsuuid: str) -> DriveRecord | None:
    """Return what was last known of a drive; None if nothing was kept."""
    kept = _recall(_path(root, fsuuid))
    if kept is None:
        return None
    return DriveRecord(**{name: getattr(kept, name) for name in DriveRecord.__struct_fields__})


def disks(root: str) -> dict[str, str]:
    """Return the drives that something is kept of, by FSUUID, with the identities of the disks that they were on."""
    try:
        paths = sorted(Path(root, KNOWN_DIR).glob(f"*{RECORD_SUFFIX}"))
    except OSError:
        return {}
    return {kept.fsuuid: kept.disk for kept in map(_recall, paths) if kept is not None}


def _recall(path: Path) -> Remembered | None:
    try:
        return decode(path.read_bytes(), Remembered)
    except (OSError, InvalidRequest):
        return None


def forget(root: str, fsuuid: str) -> None:
    """Forget a drive that is another node's, or none any more."""
    with contextlib.suppress(OSError):
        _path(root, fsuuid).unlink()


def _path(root: str, fsuuid: str) -> Path:
    return Path(root, KNOWN_DIR, f"{fsuuid}{RECORD_SUFFIX}")
