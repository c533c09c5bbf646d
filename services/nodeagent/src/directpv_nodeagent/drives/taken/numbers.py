"""Which drive each device number carried last, for as long as the node runs. Blocks.

A dead mount shows the number of its device and nothing else that tells whose it was. The agent may have been restarted
since, so what it knew is kept beside its mount points: ``numbers/<major>:<minor>`` is a link to ``<boot id>/<fsuuid>``.
The kernel gives a number to another device only when no mount of the former one is left.
"""

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import Final

from directpv_nodeagent.layout.core.layout import NUMBERS_DIR

log = logging.getLogger(__name__)

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def note(root: str, number: str, fsuuid: str) -> None:
    """Keep that the device ``number`` carries a drive; a failure is logged: it costs renewals after a restart.

    Args:
        root: The agent's directory.
        number: ``major:minor``.
        fsuuid: The drive.
    """
    path, target = Path(root, NUMBERS_DIR, number), target_of(fsuuid)
    if read(path) == target:
        return
    new = path.with_name(f"new-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        new.symlink_to(target)
        os.replace(new, path)
    except OSError as error:
        log.warning("number of a drive's device not kept", extra={"path": str(path), "error": str(error)})


def numbers_of(root: str, fsuuid: str) -> frozenset[str]:
    """Return the numbers of the devices that carried a drive since the node booted, as far as they were kept."""
    target = target_of(fsuuid)
    with contextlib.suppress(FileNotFoundError):
        return frozenset(path.name for path in Path(root, NUMBERS_DIR).iterdir() if read(path) == target)
    return frozenset()


def target_of(fsuuid: str) -> str:
    """Return what a link says that a drive was seen since the node booted."""
    return f"{_BOOT_ID.read_text().strip()}/{fsuuid}"


def read(path: Path) -> str:
    """Return what a link says; empty if there is none."""
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""
