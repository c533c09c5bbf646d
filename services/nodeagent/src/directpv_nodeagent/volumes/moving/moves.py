"""All moves of the node, as the leader orders. An order is both: do it, and say how far it is."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Final

from directpv_common.calls.context import detached
from directpv_common.protocol.errors import Busy, Conflict, DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import CopyStatus, CopyVolume, MoveState
from directpv_nodeagent.drives.core.orders import Fences
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.drive_dir import checked
from directpv_nodeagent.volumes.moving import incoming
from directpv_nodeagent.volumes.moving.comparing import Room
from directpv_nodeagent.volumes.moving.move import Move
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

AT_ONCE: Final = 1
"""Copies of one node at a time: each reads a whole volume, beside pods that go on working."""
LOOK_SECONDS: Final = 0.1
SLICE: Final = 0.5
SLICE_SECONDS: Final = 60.0
_NOTHING: Final = CopyStatus(state=MoveState.NONE)
_CANCELLING: Final = CopyStatus(state=MoveState.CANCELLING)


class Moves:
    """Answers ``volume.copy``."""

    def __init__(self, work: VolumeWork, fences: Fences) -> None:
        self._work, self._fences = work, fences
        self._places, self._room = asyncio.Semaphore(AT_ONCE), Room()
        self._moves: dict[str, tuple[Move, asyncio.Task[None]]] = {}
        self._ending: dict[str, tuple[str, asyncio.Task[str]]] = {}

    async def copy(self, order: CopyVolume) -> CopyStatus:
        """Begin a move, or cancel it, and say how far that is.

        Raises:
            Fenced: The order came from a leader that was replaced.
            Conflict: The volume is being moved elsewhere.
        """
        self._fences.check(order.fence)
        name = checked(order.record.name)
        if order.cancel:
            return await self._cancel(order)
        if name in self._ending:
            return CopyStatus(state=MoveState.QUEUED, message="what a former move copied is being removed")
        known = self._moves.get(name)
        if known is not None and known[0].order.id != order.id:
            raise Conflict(f"{name} is being moved to drive {known[0].order.target} by another move")
        if known is None:
            known = self._begin(order)
        move = known[0]
        move.heard = monotonic()
        if order.retry:
            move.retry()
        move.limited(order.limit)
        return move.status

    def _begin(self, order: CopyVolume) -> tuple[Move, asyncio.Task[None]]:
        move = Move(self._work, order, self._places, self._room)
        log.info("move begins", extra={"volume": move.name, "drive": order.record.fsuuid, "target": order.target})
        task = asyncio.create_task(move.run(), name=f"move {move.name}", context=detached())
        self._moves[move.name] = move, task
        return move, task

    def unstaged(self, name: str) -> None:
        """Pods have let go of a volume: its last pass may begin, before the next one comes."""
        if name in self._moves:
            self._moves[name][0].look()

    def forget(self, name: str) -> None:
        """The volume is on its new drive, or nowhere: nothing is left to be told of its move."""
        known = self._moves.pop(name, None)
        if known is not None:
            known[1].cancel()

    async def stop(self) -> None:
        """End all copying; the next run goes on with it."""
        tasks = [task for _, task in self._moves.values()] + [task for _, task in self._ending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- cancel

    async def _cancel(self, order: CopyVolume) -> CopyStatus:
        """Undo a move in the background; ``NONE`` once nothing is left of it."""
        name = order.record.name
        known = self._ending.get(name)
        if known is None or (known[1].done() and known[0] != order.id):
            task = asyncio.create_task(self._undo(order), name=f"undo move {name}", context=detached())
            known = self._ending[name] = order.id, task
        task = known[1]
        await asyncio.wait([task], timeout=SLICE)
        if not task.done():
            return _CANCELLING
        del self._ending[name]
        if task.cancelled() or task.exception() is not None:
            return CopyStatus(state=MoveState.CANCELLING, message=str(task.exception()))
        left = task.result()
        return CopyStatus(state=MoveState.CANCELLING, message=left) if left else _NOTHING

    async def _undo(self, order: CopyVolume) -> str:
        """End the copying, let the source serve again, remove what was copied; return what is left, in words."""
        name = order.record.name
        known = self._moves.get(name)
        if known is not None and known[0].order.id == order.id:
            known[1].cancel()
            await asyncio.gather(known[1], return_exceptions=True)
            self._moves.pop(name, None)
        source = self._work.drives.by_id.get(order.record.fsuuid)
        if source is not None and not source.trouble():  # else the leader has it unsealed when it is back
            await self._unseal(source, name, order.id)
        return "" if name in self._moves else await self._remove_copy(order)

    async def _unseal(self, source: Drive, name: str, move: str) -> None:
        """Let the source serve the volume again, once that is so on its disk: a seal may be under way yet.

        Raises:
            FailedPrecondition: Another drive serves it: whoever orders this does not know that it was moved.
        """
        source.check_usable()
        view = source.view
        for drive in self._work.drives.holders(name):
            if drive is not source and name not in drive.sealed and name not in drive.strays:
                raise FailedPrecondition(f"{drive.describe()} has {name}: what {source.describe()} has is a copy")
        async with self._turn(name) as turn:
            await self._work.on(turn, source, lambda: incoming.unseal(view, name, move), f"unsealing {name}")
            if source.sealed.get(name) == move:
                source.seal(name, "", "")
        log.info("move undone", extra={"volume": name, "drive": view.fsuuid})
        self._work.drives.on_change()

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[Turn]:
        """Take the volume's turn as soon as what works on it has ended."""
        async with contextlib.AsyncExitStack() as stack:
            while True:
                try:
                    turn = await stack.enter_async_context(self._work.turns.take(name, kind="move"))
                    break
                except Busy:
                    await asyncio.sleep(LOOK_SECONDS)
            yield turn

    async def _remove_copy(self, order: CopyVolume) -> str:
        name, target = order.record.name, self._work.drives.by_id.get(order.target)
        if target is None or target.trouble():
            why = f"{target.describe()} {target.trouble()}" if target is not None else f"drive {order.target} is away"
            return f"the copy is not removed yet: {why}"
        view, known = target.view, {other: p for other, p in target.projects.items() if other != name}
        drop = partial(incoming.drop_some, view, name, SLICE, known, order.id)
        try:
            while not await self._work.drives.executors.run(
                f"moving {view.fsuuid}", drop, SLICE_SECONDS, f"removing the copy of {name}"
            ):
                pass
        except (OSError, DirectPVError) as error:
            raise DriveFault(f"the copy of {name} on {target.describe()} is not removed yet: {error}") from error
        copy = target.copies.get(name)
        if copy is not None and copy.move in ("", order.id):
            target.set_copy(name, None)
            self._work.drives.on_change()
        return ""
