"""Mounts of volumes that nobody unpublished and that are gone all the same: put back, and told.

Somebody unmounted them on the node. A container that starts then would write to the disk of the host. What should be
mounted is what operations did since, and what was mounted at kubelet's paths when the drive was taken over.

Who unmounts may go on to remove the directory, with what is in it. So mounts that others made are not put back, nor is
the target of a pod of which nothing runs: that is how people clear away what a kubelet left behind. A staging mount is
not either: no pod looks at it, and the next publish makes it again.
"""

import asyncio
import contextlib
import logging
import os
from typing import Final

from directpv_common.calls.context import detached
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import use_without
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.volume_dirs import drive_of
from directpv_nodeagent.linux import glance, mounts, pods
from directpv_nodeagent.linux.core.mountinfo import MountTable

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 5.0
"""How long the volume's turn is waited for; the next look tries again."""
WORK_SECONDS: Final = 20.0


class MissingMounts:
    """Looks for them, and puts each back in its volume's turn."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def look(self, drive: Drive, table: MountTable) -> None:
        """Begin to put back what is missing in ``table``, which is as new as what is known of ``drive``; no waiting."""
        for name in drive.volumes:
            use = drive.use(name)
            for path in filter(None, (use.staged, *use.published)):
                if not table.stack(path) and path not in self._tasks and not drive.suspended(name):
                    work = self._put_back(drive, name, path)
                    task = asyncio.create_task(work, name=f"put back {path}", context=detached())
                    self._tasks[path] = task
                    task.add_done_callback(lambda _, path=path: self._tasks.pop(path))  # type: ignore[misc]

    async def _put_back(self, drive: Drive, name: str, path: str) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with timeout(TURN_SECONDS):
                    turn = await stack.enter_async_context(self._drives.renewal.turns.take(name, kind="renewal"))
                use, flags = drive.use(name), drive.flags.get(path)
                if path not in (use.staged, *use.published) or drive.trouble():
                    return  # an operation has taken it away meanwhile, or all mounts are renewed anyway
                if flags is None:
                    log.info("mount that others made is gone", extra={"path": path, "volume": name})
                elif path == use.staged:
                    self._tell(drive, name, path, "the next publish mounts it again")
                elif await self._is_back(turn, drive, name, path, flags):
                    return
                drive.flags.pop(path, None)
                if drive.set_use(name, use_without(drive.use(name), path)):
                    self._drives.on_change()
        except TimeoutError:
            log.info("missing mount left for now", extra={"path": path, "volume": name})
        except DirectPVError as error:
            log.warning("missing mount left for now", extra={"path": path, "volume": name, "error": str(error)})

    async def _is_back(self, turn: Turn, drive: Drive, name: str, path: str, flags: frozenset[str]) -> bool:
        """Put one back, tell what came of it, and tell whether the volume is mounted there."""
        view = drive.view
        try:
            done = await turn.run(
                view.fsuuid, lambda: _put_back(view, name, path, flags), WORK_SECONDS, f"putting back {path}"
            )
        except (DirectPVError, OSError) as error:
            self._tell(drive, name, path, f"it could not be put back: {error}")
            return False
        if done is not None:
            self._tell(drive, name, path, "it was put back" if done else "nothing of its pod runs, so it stays away")
        return bool(done)

    def _tell(self, drive: Drive, name: str, path: str, outcome: str) -> None:
        cause = f"somebody unmounted it at {path}; {outcome}"
        log.warning("volume was unmounted by others", extra={"volume": name, "path": path, "outcome": outcome})
        self._drives.emit("volume", "unmounted", name, drive=drive.fsuuid, path=path, cause=cause)


def _put_back(view: DriveView, name: str, path: str, flags: frozenset[str]) -> bool | None:
    """Mount a volume again at a path where nothing is mounted; tell whether it is there now.

    Not if nothing of its pod runs. None: the place is gone, or shows something else.
    """
    if glance.device_at(path):
        return glance.device_at(path) == view.device or None
    if not os.path.isdir(path):
        return None
    if not pods.may_run(path):
        return False
    with drive_of(view) as drive, drive.volume(name) as directory:
        mounts.bind(directory, path, flags)
    return True
