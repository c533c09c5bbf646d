"""Lets a schedule happen to a world, and notes what came of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from chaos.faults import Faults
from chaos.kinds import FAULTS, Action, Kind
from chaos.locks import Occupied
from chaos.model import CALL_SECONDS, QUIET_SECONDS, History, Volume, missing_files, wrong_content
from chaos.operations import FAILED, Bug, NotAnswered, Operations
from chaos.scene import scene
from chaos.watch import Watch
from chaos.world import World
from directpv_common.process.lifecycle import background
from support.guest.client import Done

CREATE_SECONDS: Final = 20.0
END_SECONDS: Final = 300.0
"""What has begun ends within so many seconds after the schedule."""


class Runner:
    """One run. ``problems`` says what is wrong, in words."""

    def __init__(self, world: World, seed: int, say: Callable[[str], None]) -> None:
        self.world, self._say = world, say
        self.history = History()
        self.operations = Operations(world, self.history, seed)
        self.volumes: dict[str, Volume] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.problems: list[str] = []
        self.judged = 0
        """Uses of volumes that had to succeed."""
        self._faults = Faults(world, self.history, self.operations, self.volumes)
        self._watch = Watch(world, self.history, self.volumes, self._restart_pods, self.explained)
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print with the seconds since the begin."""
        self._say(f"{time.monotonic() - self._began:8.2f}  {text}")

    def problem(self, text: str) -> None:
        """Note that something is wrong."""
        self.problems.append(f"at {time.monotonic() - self._began:.2f} s: {text}")
        self.say(f"WRONG: {text}")

    async def explained(self, text: str) -> None:
        """Note that something is wrong, and how all drives are now."""
        self.say(f"WRONG: {text}")
        at = time.monotonic() - self._began
        seen = await scene(self.world, self.history, self._began)
        self.problems.append(f"at {at:.2f} s: {text}\n{seen}")
        self.say(seen)

    async def run(self, actions: list[Action]) -> None:
        """Let everything happen at its time; returns when all has ended and is mended."""
        self._began = time.monotonic()
        limit = asyncio.timeout(max((action.at for action in actions), default=0.0) + END_SECONDS)
        async with background(self._watch.run()), limit, asyncio.TaskGroup() as tasks:
            for action in actions:
                await asyncio.sleep(max(0.0, self._began + action.at - time.monotonic()))
                tasks.create_task(self._do(action), name=str(action))

    async def _do(self, action: Action) -> None:
        """Let one thing happen; whatever comes of it is noted, and stops nothing else."""
        began = time.monotonic()
        if action.kind in FAULTS:
            self.say(f"{action} ...")
        try:
            outcome, words = await self._outcome(action)
        except Bug as error:
            outcome, words = "bug", str(error)
            await self.explained(f"{action}: {error}")
        except Occupied as error:
            outcome, words = "skipped", str(error)
        except (NotAnswered, *FAILED) as error:
            outcome, words = "failed", str(error) or repr(error)
            if action.kind in FAULTS:
                await self.explained(f"{action}: could not be done or mended: {error!r}")
            elif isinstance(error, NotAnswered) and self._had_to_be_answered(action):
                await self.explained(f"{action}: not answered though drive, node and bus were well: {error}")
        self.counts[action.kind, outcome] += 1
        self.say(f"{action}: {outcome} after {time.monotonic() - began:.2f} s  {words[:400]}")

    async def _outcome(self, action: Action) -> tuple[str, str]:
        if action.kind in FAULTS or action.kind is Kind.SUSPEND:
            return "done", await self._faults.run(action)
        volume = self.volumes.setdefault(action.volume, Volume(action.volume, action.amount))
        async with self.operations.alone(volume):
            if action.kind is Kind.CREATE:
                await self.operations.create(volume, CREATE_SECONDS)
                return "done", f"on {volume.drive} of {volume.node}"
            if not volume.exists:
                return "skipped", "there is no such volume"
            return await self._with_volume(action, volume)

    async def _with_volume(self, action: Action, volume: Volume) -> tuple[str, str]:
        if action.kind is Kind.DELETE:
            if volume.in_use:
                await self.operations.stop(volume, CALL_SECONDS)
            await self.operations.delete(volume, CALL_SECONDS)
        elif action.kind is Kind.EXPAND:
            done = await self.operations.expand(volume, action.amount, CALL_SECONDS)
            return ("done", "") if done else ("refused", "no space")
        elif action.kind is Kind.START:
            await self.operations.start(volume, CALL_SECONDS, container=bool(action.amount))
        elif action.kind is Kind.STOP:
            await self.operations.stop(volume, CALL_SECONDS)
        elif not volume.started:
            return "skipped", "it is not in use"
        else:
            return await self._with_pod(action, volume)
        return "done", ""

    async def _with_pod(self, action: Action, volume: Volume) -> tuple[str, str]:
        if action.kind is Kind.STATS:
            return ("done", "") if await self.operations.stats(volume) else ("abnormal", "")
        if action.kind is Kind.WRITE:
            done, found = await self.operations.write(volume, action.file, action.amount), None
        else:
            done, found = await self.operations.read(volume)
        await self._judge(action, volume, done, found)
        if done.code and volume.served:
            await self._restart_pods(volume.drive)
        return "done" if done.code == 0 else "failed", f"{done.code} {done.err}" if done.code else ""

    def _had_to_be_answered(self, action: Action) -> bool:
        """Tell whether kubelet's call could have been answered all the time for which it was repeated."""
        wanted = action.kind in (Kind.START, Kind.STOP)
        return wanted and self.history.had_to_answer(self.volumes[action.volume], time.monotonic())

    async def _restart_pods(self, drive: str) -> None:
        """End the containers that hold a drive: people restart pods that get errors, as the drive's condition says."""
        held = [volume for volume in self.volumes.values() if volume.drive == drive and volume.container]
        if held:
            restart = self.history.begin(drive, Kind.STOP, time.monotonic())
            await asyncio.gather(*(self.operations.end_container(volume) for volume in held))
            restart.end(time.monotonic())

    async def _judge(self, action: Action, volume: Volume, done: Done, found: dict[str, str] | None) -> None:
        """Note what may not be: other content at any time, and any failure where nothing was broken for a while."""
        quiet = self.history.said_for(volume.drive, well=True) >= QUIET_SECONDS
        for text in wrong_content(volume, found or {}):
            await self.explained(f"{action}: {text}")
        if not quiet or not volume.started or not volume.served:
            return
        self.judged += 1
        if done.code:
            await self.explained(f"{action} on {volume.drive}: failed though its drive was well: {done}")
        elif found is not None:
            for text in missing_files(volume, found):
                await self.explained(f"{action}: {text}")
