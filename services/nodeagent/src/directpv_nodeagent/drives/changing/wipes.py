"""Wipes devices of drives that were given up, in the background; what was cut short is ended when it is asked again.

A note on the node says which drives were being wiped: their super block still names them, their records may be gone.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from directpv_common.calls.context import detached
from directpv_common.protocol.errors import DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import Wipe
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.filesystem import wiping
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.layout import WIPES_DIR
from directpv_nodeagent.linux import files

log = logging.getLogger(__name__)

PIECE_SECONDS: Final = 300.0
"""Without any request done by the device."""
LONGEST_SECONDS: Final = 3600.0
FAILED_SECONDS: Final = 60.0
"""So long after a failure a wipe is begun anew."""
OPEN_SECONDS: Final = 30.0
_ENDED: Final = b"wiped"
"""Content of the note of a drive of which nothing is left; it is kept until the leader has heard of that."""


class Wipes:
    """Those that run, and how the last one of each drive failed."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, str] = {}
        """Progress in words, of those that run."""
        self.ended: set[str] = set()
        """Drives of which this run of the agent has wiped the device."""
        self._failed: dict[str, tuple[float, DirectPVError]] = {}

    def running(self, fsuuid: str) -> str:
        """Return in words how far the wipe of a drive is; empty if none runs."""
        return self._done.get(fsuuid, "")

    def was_begun(self, fsuuid: str) -> bool:
        """Tell whether the drive was being wiped, by this run of the agent or one before. Blocking."""
        return self._note(fsuuid).exists()

    def was_ended(self, fsuuid: str) -> bool:
        """Tell whether all of it is wiped, by this run of the agent or one before. Blocking."""
        return fsuuid in self.ended or (self.was_begun(fsuuid) and self._note(fsuuid).read_bytes() == _ENDED)

    def note(self, fsuuid: str, words: bytes = b"") -> None:
        """Keep that the drive is being wiped, or was, durably: nothing on it counts any more. Blocking."""
        path = self._note(fsuuid)
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with files.opened(str(path.parent)) as directory:
            files.write_file(fsuuid, directory, words, 0o640)

    def forget(self, fsuuid: str) -> None:
        """Forget that: nothing is left to be done. Blocking."""
        self._note(fsuuid).unlink(missing_ok=True)

    def check(self, facts: DeviceFacts, wipe: Wipe) -> None:
        """Refuse what the device cannot do. Blocking.

        Raises:
            FailedPrecondition: It takes no discards.
        """
        if wipe is Wipe.DISCARD and not wiping.can_discard(self._drives.prober.roots.sys, facts.major_minor):
            raise FailedPrecondition(f"{facts.name} takes no discards; use --wipe=zero")

    def begin(self, fsuuid: str, facts: DeviceFacts, wipe: Wipe) -> None:
        """Begin to wipe a device, which is not mounted; :meth:`note` was called.

        Raises:
            DirectPVError: The last try failed a moment ago: says how.
        """
        at, error = self._failed.get(fsuuid, (0.0, None))
        if error is not None and time.monotonic() - at < FAILED_SECONDS:
            raise error
        self._done[fsuuid] = "wiping it: 0 %"
        task = asyncio.create_task(self._run(fsuuid, facts, wipe), name=f"wipe {fsuuid}", context=detached())
        self._tasks[fsuuid] = task
        task.add_done_callback(lambda _: self._tasks.pop(fsuuid, None))

    async def stop(self) -> None:
        """End what runs, between two pieces: the agent ends."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, fsuuid: str, facts: DeviceFacts, wipe: Wipe) -> None:
        self._drives.busy_devices[facts.name] += 1
        try:
            async with self._drives.device(facts.name):
                await self._wipe(fsuuid, facts, wipe)
            self._failed.pop(fsuuid, None)
            self.ended.add(fsuuid)
            self._drives.give_up(fsuuid, None, "it was removed from DirectPV, and wiped", noted=True)
        except (DirectPVError, OSError) as error:
            known = error if isinstance(error, DirectPVError) else DriveFault(str(error))
            self._failed[fsuuid] = (time.monotonic(), known)
            log.warning("drive not wiped", extra={"drive": fsuuid, "device": facts.name, "error": str(error)})
            self._drives.emit("drive", "wipe-failed", fsuuid, device=facts.name, cause=str(error))
        finally:
            self._drives.busy_devices[facts.name] -= 1
            self._done.pop(fsuuid, None)
            self._drives.on_doubt()

    async def _wipe(self, fsuuid: str, facts: DeviceFacts, wipe: Wipe) -> None:
        drives, path = self._drives, self._drives.prober.path_of(facts)
        run, done = drives.executors.run, 0
        with await run(
            facts.name, lambda: wiping.hold(path, facts.major_minor, fsuuid), OPEN_SECONDS, "opening it"
        ) as io:
            log.warning("drive is being wiped", extra={"drive": fsuuid, "device": facts.name, "how": str(wipe)})
            for offset, length in wiping.pieces(facts.size):
                await run(
                    facts.name,
                    lambda o=offset, n=length: wiping.wipe_piece(io.fileno(), path, wipe, o, n),  # type: ignore[misc]
                    PIECE_SECONDS,
                    "wiping it",
                    progress=drives.progress_of(facts.name),
                    at_most=LONGEST_SECONDS,
                )
                done += length
                self._done[fsuuid] = f"wiping it: {100 * done // max(1, facts.size)} %"
        await run(facts.name, lambda: self.note(fsuuid, _ENDED), OPEN_SECONDS, "noting that it is wiped")

    def _note(self, fsuuid: str) -> Path:
        return Path(self._drives.host.root, WIPES_DIR, fsuuid)
