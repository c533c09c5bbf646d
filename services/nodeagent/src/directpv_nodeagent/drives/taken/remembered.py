"""What was last known of each drive of this node, kept on the node. Blocks.

A drive that cannot be mounted cannot say whose it is. If it was this node's when it was last seen, people are told that
it is here and why it cannot be used; nothing else is concluded from what stands here.
"""

import contextlib
import logging
import os
import secrets
from pathlib import Path

from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import DriveRecord
from directpv_common.protocol.wire import decode, encode_pretty
from directpv_nodeagent.layout.core.layout import KNOWN_DIR, RECORD_SUFFIX

log = logging.getLogger(__name__)


def note(root: str, record: DriveRecord) -> None:
    """Keep a drive's record; a failure is logged: it costs words after a restart.

    Args:
        root: The agent's directory.
        record: As it stands on the drive.
    """
    path, data = _path(root, record.fsuuid), encode_pretty(record)
    new = path.with_name(f"new-{secrets.token_hex(4)}")
    try:
        if path.exists() and path.read_bytes() == data:
            return
        path.parent.mkdir(mode=0o755, exist_ok=True)
        new.write_bytes(data)
        os.replace(new, path)
    except OSError as error:
        log.warning("record of a drive not kept", extra={"path": str(path), "error": str(error)})
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def recall(root: str, fsuuid: str) -> DriveRecord | None:
    """Return what was last known of a drive; None if nothing was kept."""
    try:
        return decode(_path(root, fsuuid).read_bytes(), DriveRecord)
    except (OSError, InvalidRequest):
        return None


def forget(root: str, fsuuid: str) -> None:
    """Forget a drive that is another node's, or none any more."""
    with contextlib.suppress(OSError):
        _path(root, fsuuid).unlink()


def _path(root: str, fsuuid: str) -> Path:
    return Path(root, KNOWN_DIR, f"{fsuuid}{RECORD_SUFFIX}")
