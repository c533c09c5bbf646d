"""Moves of volumes to other drives of their nodes: decided here, carried out by the node, looked after until they end.

The registry alone says where a move stands; what this process remembers is how far the node said it is.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import detached
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Busy, DirectPVError
from directpv_controller.core.placing.model import Change, Volume
from directpv_controller.core.reserving import moving
from directpv_controller.core.showing.moves import move_status
from directpv_controller.leading.term import Term
from directpv_controller.nodes.asking import require_online
from directpv_controller.nodes.nodes import Nodes

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often each move is looked after: a node seals no volume if nobody asks."""
ASK_SECONDS: Final = 5.0
PREPARE_SECONDS: Final = 5.0
"""How often a node is told that a volume is on its new drive, until it says so itself."""
HELD_UP_SECONDS: Final = 300.0
"""After so long a move whose end is refused is said not to go on without people."""
_NEWS: Final = m.CopyStatus(state=m.MoveState.QUEUED)


class Moves:
    """Works for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term, self._ledger, self._nodes, self._flights = term, term.ledger, nodes, flights
        self._told: dict[str, m.CopyStatus] = {}
        self._retry: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._prepared: dict[str, float] = {}
        self._held: dict[str, float] = {}
        """Moves that are decided and whose end is refused, with the monotonic time since which."""

    # ---- asked by people

    async def move(self, request: m.MoveVolume) -> m.MoveStatus:
        """Begin a move, or go on with it, or cancel it; the reply says where it stands.

        Raises:
            DirectPVError: As :func:`.moving.begin` and :func:`.moving.cancel`.
        """
        key = f"volume {request.name}"
        status: m.MoveStatus = await self._flights.run(key, request, lambda: self._move(request))
        return status

    async def _move(self, request: m.MoveVolume) -> m.MoveStatus:
        await self._nodes.reported()
        await self._term.idle(request.name)
        if request.cancel:
            volume, change = moving.cancel(self._ledger, request.name, self._waits_for(request.name))
        else:
            require_online(
                self._nodes, self._ledger.drives[self._ledger.volume(request.name).record.fsuuid].record.node
            )
            waits_for = self._waits_for(request.name)
            volume, change = moving.begin(self._ledger, request, secrets.token_hex(8), waits_for)
            self._retry.add(request.name)
        await self._term.commit(change)
        if change is not None:
            self._tell(volume, "move-cancelled" if request.cancel else "move-begun")
        self._look_after(request.name)
        return self._status(volume)

    async def list(self, request: m.ListMoves) -> m.MoveList:
        """Return the moves that have not ended."""
        names = sorted(self._ledger.moves.intersection(request.names) if request.names else self._ledger.moves)
        volumes = [self._ledger.volumes[name] for name in names if name in self._ledger.volumes]
        return m.MoveList(moves=tuple(map(self._status, volumes)))

    def _status(self, volume: Volume) -> m.MoveStatus:
        name = volume.record.name
        return move_status(self._ledger, volume, self._told.get(name, _NEWS), int(self._held_up(name)))

    def _held_up(self, name: str) -> float:
        since = self._held.get(name)
        return 0.0 if since is None else monotonic() - since

    @property
    def stuck(self) -> int:
        """How many moves do not go on without people: they have failed, or their end is refused for long."""
        failed = [name for name, told in tuple(self._told.items()) if told.state is m.MoveState.FAILED]
        held = [name for name in tuple(self._held) if self._held_up(name) >= HELD_UP_SECONDS]
        return len({*failed, *held} & {*tuple(self._ledger.moves)})

    def _waits_for(self, name: str) -> str:
        """Return what keeps a move from ending, as was heard last; empty if nothing is known to."""
        return self._told.get(name, _NEWS).message

    async def make_way(self, volume: Volume) -> None:
        """Refuse to delete a volume that is being moved, and cancel the move if that is still possible.

        Raises:
            Busy: It is; says what that waits for. Repeat.
        """
        moves, name = volume.record.moving, volume.record.name
        if moves is None:
            return
        if moves.phase is m.MovePhase.COPYING:
            await self._term.commit(moving.cancelled(self._ledger, volume))
            self._tell(volume, "move-cancelled")
            self._told.pop(name, None)
        raise Busy(moving.is_ending(volume, moves, self._waits_for(name)))

    # ---- looking after

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after all moves while the block runs."""
        try:
            async with background(self._look()):
                yield
        finally:
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            for name in tuple(self._ledger.moves):
                self._look_after(name)
            for table in (self._told, self._held):
                for name in table.keys() - self._ledger.moves:
                    table.pop(name)
            await asyncio.sleep(LOOK_SECONDS)

    def _look_after(self, name: str) -> None:
        if name not in self._tasks and name in self._ledger.moves:
            task = asyncio.create_task(self._stepped(name), name=f"move {name}", context=detached())
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _stepped(self, name: str) -> None:
        volume = self._ledger.volumes.get(name)
        if volume is None or volume.record.moving is None or name in self._ledger.busy:
            return
        try:
            self._term.require_lead()
            self._note_held(volume, await self._step(volume, volume.record.moving))
        except Unanswered as error:
            if volume.record.moving is not None and volume.record.moving.phase is m.MovePhase.FLIPPED:
                self._flipped(name, str(error))
        except DirectPVError as error:
            before = self._told.get(name, _NEWS)
            self._told[name] = m.CopyStatus(state=before.state, message=error.message)
            self._note_held(volume, True)
            log.info("move not gone on with yet", extra={"volume": name, "error": error.message})
        except Exception:
            log.exception("move not looked after", extra={"volume": name})

    def _note_held(self, volume: Volume, refused: bool) -> None:
        """Note since when the end of a move is refused; a node that is away refuses nothing, and is told of anyway."""
        name, moves = volume.record.name, volume.record.moving
        node = self._ledger.drives[volume.record.fsuuid].record.node
        if refused and moves is not None and moves.phase is not m.MovePhase.COPYING and self._nodes.online(node):
            self._held.setdefault(name, monotonic())
        else:
            self._held.pop(name, None)

    async def _step(self, volume: Volume, moves: m.Moving) -> bool:
        """Do the next thing about a move; tell whether it was refused."""
        if moves.phase is m.MovePhase.COPYING:
            await self._go_on(volume, moves)
            return False
        return await (self._retire if moves.phase is m.MovePhase.FLIPPED else self._undo)(volume, moves)

    async def _go_on(self, volume: Volume, moves: m.Moving) -> None:
        if volume.record.deleting:
            await self._commit(volume, moving.cancelled(self._ledger, volume), "move-cancelled")
            return
        status = await self._copy(volume, moves)
        if status.state is not m.MoveState.COPIED:
            return
        # From here to the commit there is no await: the node has sealed the volume for this very move.
        now = volume.record.moving
        same = now is not None and (now.id, now.phase) == (moves.id, m.MovePhase.COPYING)
        if self._ledger.volumes.get(volume.record.name) is not volume or not same or volume.record.deleting:
            return
        self._ledger.require_idle(volume.record.name)
        self._told.pop(volume.record.name, None)
        await self._commit(volume, moving.flip(self._ledger, volume), "move-flipped")
        self._prepare(volume)

    async def _copy(self, volume: Volume, moves: m.Moving, *, cancel: bool = False) -> m.CopyStatus:
        record = volume.record
        order = m.CopyVolume(
            record=record, target=moves.drive, id=moves.id, limit=moves.limit, cancel=cancel,
            retry=record.name in self._retry, fence=self._term.fence,
        )  # fmt: skip
        self._retry.discard(record.name)
        status: m.CopyStatus = await self._ask(volume, Node.VOLUME_COPY, order)
        self._told[record.name] = status
        return status

    async def _ask(self, volume: Volume, endpoint: Any, order: Any) -> Any:
        node = self._ledger.drives[volume.record.fsuuid].record.node
        require_online(self._nodes, node)
        return await self._term.bus.call(
            endpoint, order, node=node, within=ASK_SECONDS, attempt=ASK_SECONDS, patient=False
        )

    def _prepare(self, volume: Volume) -> None:
        """Tell the node, now and then, that the volume is on its new drive."""
        name, now = volume.record.name, asyncio.get_running_loop().time()
        if now - self._prepared.get(name, -PREPARE_SECONDS) >= PREPARE_SECONDS:
            self._prepared[name] = now
            self._nodes.worker(self._ledger.drives[volume.record.fsuuid].record.node).order(prepare=(volume.record,))

    async def _retire(self, volume: Volume, moves: m.Moving) -> bool:
        """Have the former data removed, once the node has the volume on its new drive; tell whether that is refused."""
        record = volume.record
        if not volume.seen:
            node = self._ledger.drives[record.fsuuid].record.node
            require_online(self._nodes, node)
            self._prepare(volume)
            self._flipped(record.name, volume.refused)
            return bool(volume.refused)
        other = self._ledger.drives.get(moves.drive)
        if other is not None and other.record.status is m.DriveStatus.READY:  # else what is left goes when it is back
            order = m.RemoveVolume(
                name=record.name, fsuuid=moves.drive, incarnation=record.incarnation, move=moves.id,
                moved_to=record.fsuuid, fence=self._term.fence,
            )  # fmt: skip
            if not (await self._ask(volume, Node.VOLUME_REMOVE, order)).purged:
                self._flipped(record.name, f"what it was on drive {moves.drive} is being deleted")
                return False
        await self._settle(volume, moves, "move-ended")
        return False

    def _flipped(self, name: str, message: str) -> None:
        self._told[name] = m.CopyStatus(state=m.MoveState.FLIPPED, message=message)

    async def _undo(self, volume: Volume, moves: m.Moving) -> bool:
        status = await self._copy(volume, moves, cancel=True)
        other = self._ledger.drives.get(moves.drive)
        gone = status.message and (other is None or other.record.status is not m.DriveStatus.READY)
        if status.state is m.MoveState.NONE or gone:
            await self._settle(volume, moves, "move-undone")
            return False
        return bool(status.message)

    async def _settle(self, volume: Volume, moves: m.Moving, kind: str) -> None:
        name = volume.record.name
        if self._ledger.volumes.get(name) is not volume or volume.record.moving != moves:
            return
        self._ledger.require_idle(name)
        await self._commit(volume, moving.settle(self._ledger, volume), kind, other=moves.drive)
        self._prepared.pop(name, None)

    async def _commit(self, volume: Volume, change: Change | None, kind: str, **data: str) -> None:
        await self._term.commit(change)
        self._tell(volume, kind, **data)

    def _tell(self, volume: Volume, kind: str, **data: str) -> None:
        record = volume.record
        node = self._ledger.drives[record.fsuuid].record.node
        other = record.moving.drive if record.moving is not None else ""
        facts = {"node": node, "drive": record.fsuuid, "other": other, **data}
        log.info("move", extra={"volume": record.name, "what": kind, **facts})
        self._term.events.emit("volume", kind, record.name, **facts)
