"""Which devices carry a copy of a drive, for as long as the node runs. Blocks.

A device that showed a drive's file system while that was mounted from another one has what was written before it was
made, and nothing since: it must not be taken for the drive when the drive's own disk is pulled or fails. The agent may
be restarted in between, so that is kept: ``copies/<appearance>`` is a link to ``<boot id>/<fsuuid>``. A device that is
plugged in anew appears anew: that is how people say that a copy is to be the drive from now on.
"""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.taken import numbers
from directpv_nodeagent.layout.core.layout import COPIES_DIR

log = logging.getLogger(__name__)


def note(root: str, fsuuid: str, mounted: DeviceFacts, others: Iterable[DeviceFacts]) -> None:
    """Keep that other devices carry a copy of a drive that is mounted; a failure is logged: the next scan tries again.

    What is built on the mounted device, or what that is built on, shows the same bytes, and is no copy.
    """
    folder, target = Path(root, COPIES_DIR), numbers.target_of(fsuuid)
    try:
        for facts in others:
            if facts.name in mounted.holders or mounted.name in facts.holders:
                continue
            path = folder / facts.appearance
            if not facts.appearance or numbers.read(path) == target:
                continue
            folder.mkdir(mode=0o755, exist_ok=True)
            new = folder / f"new-{secrets.token_hex(4)}"
            new.symlink_to(target)
            os.replace(new, path)
    except OSError as error:
        log.warning("copy of a drive not noted", extra={"drive": fsuuid, "error": str(error)})


def without(root: str, fsuuid: str, devices: Iterable[DeviceFacts]) -> list[DeviceFacts]:
    """Return the devices that are not known to carry a copy of a drive."""
    target, known = numbers.target_of(fsuuid), set[str]()
    with contextlib.suppress(FileNotFoundError):
        known = {path.name for path in Path(root, COPIES_DIR).iterdir() if numbers.read(path) == target}
    return [facts for facts in devices if facts.appearance not in known]
