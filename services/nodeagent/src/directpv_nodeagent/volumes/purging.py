"""Deletes removed volumes in the background, until nothing is left that takes space."""

import asyncio
import logging
from typing import Final

from directpv_common.calls.context import detached
from directpv_common.protocol.errors import DirectPVError
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.volumes import remains
from directpv_nodeagent.volumes.remains import StillCharged
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

SLICE: Final = 0.5
"""Seconds of deleting before the thread takes a breath."""
PURGE_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 10.0
HOLDERS_SECONDS: Final = 20.0


class Purging:
    """Purges what was removed, also before a restart."""

    def __init__(self, work: VolumeWork) -> None:
        self._work = work
        self._purges: dict[tuple[str, str], asyncio.Task[None]] = {}

    def purge_left(self, drive: Drive) -> None:
        """Go on with purges that a crash, or the loss of the drive, cut short."""
        for name in drive.purging:
            self.purge(drive, name)

    def purge(self, drive: Drive, name: str) -> asyncio.Task[None]:
        """Delete what remains of a removed volume, in the background."""
        key = (drive.fsuuid, name)
        task = self._purges.get(key)
        if task is None or task.done():
            task = self._purges[key] = asyncio.create_task(
                self._purge(drive, name), name=f"purge {name}", context=detached()
            )
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    def _forget(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._purges.get(key) is task:
            del self._purges[key]

    async def _purge(self, drive: Drive, name: str) -> None:
        """Delete until nothing is left; a drive that fails meanwhile is purged when it is back."""
        told, pause = "", FIRST_PAUSE_SECONDS
        while name in drive.purging and not drive.trouble():
            try:
                if await self._purge_once(drive, name):
                    drive.purged(name)
                    self._work.emit("volume", "purged", name, drive=drive.fsuuid)
                    self._work.drives.on_change()
                    return
            except StillCharged as error:
                told = await self._tell_held(drive, name, error, told)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS)
            except DirectPVError as error:
                log.warning("purge failed", extra={"volume": name, "drive": drive.fsuuid, "error": error.message})
                await asyncio.sleep(RETRY_SECONDS)
        if name in drive.purging:
            log.info("purge paused", extra={"volume": name, "drive": drive.fsuuid, "cause": drive.trouble()})

    async def _purge_once(self, drive: Drive, name: str) -> bool:
        """Delete for a while; tell whether nothing is left."""
        view = drive.view
        try:
            clean = await self._work.drives.executors.run(
                f"purging {drive.fsuuid}", lambda: remains.purge_some(view, name, SLICE), PURGE_SECONDS, name
            )
        except OSError as error:
            raise self._work.explained(drive, f"purging {name}", error) from error
        if not clean:
            return False
        async with self._work.turns.take(name, kind="purge") as turn:
            known = dict(drive.projects)
            return await self._work.on(turn, drive, lambda: remains.end_purge(view, name, known), f"purging {name}")

    async def _tell_held(self, drive: Drive, name: str, error: StillCharged, told: str) -> str:
        """Tell who keeps the space of a removed volume, unless that was ``told``; return what is told now."""
        view = drive.view
        try:
            holders = await self._work.drives.executors.run(
                "open files", lambda: remains.who_holds(view, error.project), HOLDERS_SECONDS, "looking who holds them"
            )
        except (DirectPVError, OSError):
            holders = []
        who = f"by {describe_paths(holders)}" if holders else "by whom is not to be seen from here"
        cause = f"{error}, {who}"
        if cause != told:
            log.warning("removed volume keeps its space", extra={"volume": name, "drive": drive.fsuuid, "cause": cause})
            advice = "end these programs; the space is given to other volumes then"
            self._work.emit("volume", "purge-held", name, drive=drive.fsuuid, cause=cause, advice=advice)
        return cause

    async def stop(self) -> None:
        """Stop purging; the next run goes on with it."""
        for task in tuple(self._purges.values()):
            task.cancel()
        await asyncio.gather(*self._purges.values(), return_exceptions=True)
