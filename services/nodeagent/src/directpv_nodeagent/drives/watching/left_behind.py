"""Containers that ran while their drive was away: they keep its failed file system, though all is well on the node.

A container has mounts of its own, made when it started. When a disk comes back under another number, the node's mounts
are renewed, and a container that starts then gets the new ones; one that runs gets EIO until its pod is restarted. That
shows in the mount tables of processes alone. They are read after a drive was mounted under another number than before
since the node booted, and again until none is left, so that a node whose disks stay pays nothing.
"""

import logging
from functools import partial
from typing import Final

from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.reasons import Reason, advice_for
from directpv_nodeagent.drives.taken import numbers
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.linux import mounts

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 20.0


class LeftBehind:
    """Looks for such containers, and notes their volumes in :attr:`Drive.left_behind`."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._clear: dict[str, str] = {}
        """The device, as ``major:minor``, under which a drive was when nobody was left behind."""

    async def look(self, drive: Drive) -> None:
        """Note who is left behind of a drive that is well, and tell of each volume once. Never raises."""
        view = drive.view
        if self._clear.get(view.fsuuid) == view.device:
            return
        try:
            found = await self._drives.executors.run("mount table", partial(left_behind, view), LOOK_SECONDS)
        except (DirectPVError, OSError) as error:
            log.warning("containers not looked at", extra={"drive": view.fsuuid, "error": str(error)})
            return
        for name in found.keys() - drive.left_behind.keys():
            cause = f"failed file system kept by process {describe_paths(found[name])}"
            advice = advice_for(Reason.VOLUME_LEFT_BEHIND, view.fsuuid)
            self._drives.emit("volume", "left-behind", name, drive=view.fsuuid, cause=cause, advice=advice)
            log.warning("container left behind", extra={"volume": name, "drive": view.fsuuid, "cause": cause})
        drive.left_behind = found
        if not found:
            self._clear[view.fsuuid] = view.device


def left_behind(view: DriveView) -> dict[str, list[str]]:
    """Return, for each volume, who has it mounted from a device that carried the drive before; blocking.

    One process of each mount namespace but the host's and our own, whose mounts are renewed, as pid and name.
    """
    former = numbers.numbers_of(view.root, view.fsuuid) - {view.device}
    found: dict[str, list[str]] = {}
    for who, table in mounts.mounts_elsewhere(*former, host=False).items() if former else ():
        shown = {mount.root.strip("/").split("/")[0] for number in former for mount in table.of(number)}
        for name in shown - {""}:
            found.setdefault(name, []).append(who)
    return found
