"""One volume's way to another drive: passes, the last pass in the volume's turn, comparison, seal.

begin ─▶ pass, compare ─▶ pods have it? ──no──▶ [turn: pass, compare, mend, complete, seal] ─▶ Copied
              ▲               │ yes
              └── some time ──┘
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Final, TypeVar

from msgspec.structs import replace

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Busy, DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import CopyStatus, CopyVolume, HeldCopy, MoveState, VolumeRecord, VolumeUse
from directpv_nodeagent.drives.core.orders import is_another
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.linux import mounts
from directpv_nodeagent.volumes.core.decisions import is_mounted
from directpv_nodeagent.volumes.moving import copying, incoming
from directpv_nodeagent.volumes.moving.comparing import Comparison, Known, Room, Wrong, measure
from directpv_nodeagent.volumes.moving.core import passes
from directpv_nodeagent.volumes.moving.core.passes import Rate
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether pods have let go of the volume, beside each time when it is unstaged."""
HELD_SECONDS: Final = 5.0
"""How often all processes are looked at, whether they have let go of a volume that is mounted nowhere."""
HEARD_SECONDS: Final = 10.0
"""The last pass begins only if the leader asked so lately: nobody can have the volume until the leader has decided."""
MENDS: Final = 3
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 300.0
"""Until what has failed is tried again."""
SLICE: Final = 0.5
SLICE_SECONDS: Final = 120.0
SYNC_SECONDS: Final = 600.0
MEASURE_SECONDS: Final = 60.0
_NO_USE: Final = VolumeUse()
_ALL_SEEN: Final = frozenset({MoveState.WAITING, MoveState.COPIED})
"""States in which a pass has looked at all that there is; the next one may copy nothing, and say nothing."""


class Move:
    """One move, in memory; what must outlive it is on the drives and in the registry."""

    def __init__(self, work: VolumeWork, order: CopyVolume, places: "asyncio.Semaphore", room: Room) -> None:
        self._work, self._order, self._places = work, order, places
        self._known, self._rate = Known(room), Rate()
        self._state, self._passes, self._done, self._total = MoveState.QUEUED, 0, 0, 0
        self._message, self._look_again = "", 0.0
        self._again, self._free, self._limit_changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.heard = monotonic()
        """When the leader asked last."""

    @property
    def name(self) -> str:
        """The volume."""
        return self._order.record.name

    @property
    def order(self) -> CopyVolume:
        """What was ordered."""
        return self._order

    @property
    def status(self) -> CopyStatus:
        """How far it is."""
        return CopyStatus(
            state=self._state,
            passes=self._passes,
            done=self._total if self._state in _ALL_SEEN else min(self._done, self._total),
            total=self._total,
            rate=self._rate.per_second if self._state in (MoveState.COPYING, MoveState.LAST_PASS) else 0,
            message=self._message,
        )

    def limited(self, limit: int) -> None:
        """Take another limit, at once: a pass that runs ends, and goes on where it was."""
        if limit != self._order.limit:
            self._order = replace(self._order, limit=limit)
            self._limit_changed.set()

    def look(self) -> None:
        """Look at once whether pods have let go of the volume."""
        self._free.set()

    def retry(self) -> None:
        """Try what has failed again, now."""
        self._again.set()

    async def run(self) -> None:
        """Move until all is copied and sealed, trying again what fails; never raises but CancelledError."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                await self._try()
                if self._state is MoveState.COPIED:
                    return
                self._again.clear()
                with suppress(TimeoutError):
                    async with timeout(pause):
                        await self._again.wait()
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._known.forget()

    async def _try(self) -> None:
        try:
            await self._run()
        except DirectPVError as error:
            self._fail(error.message)
        except OSError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("move failed", extra={"volume": self.name})
            self._fail(f"{type(error).__name__}: the log of the node's agent has more")

    def _fail(self, why: str) -> None:
        news = self._message != why
        self._state, self._message = MoveState.FAILED, why
        if not news:
            return
        log.warning("move failed", extra={"volume": self.name, "target": self._order.target, "cause": why})
        self._work.emit("volume", "move-failed", self.name, drive=self._order.target, cause=why)

    # ---- the drives

    def _drives(self) -> tuple[Drive, Drive]:
        """Return source and target.

        Raises:
            FailedPrecondition: One of them cannot be used, or the source has not this volume.
        """
        record, order = self._order.record, self._order
        source, target = self._work.drives.get(record.fsuuid), self._work.drives.get(order.target)
        for drive in (source, target):
            drive.check_usable()
        known = source.volumes.get(record.name)
        if known is None or is_another(known, record.incarnation or None):
            raise FailedPrecondition(f"{source.describe()} does not have volume {record.name}")
        others = [drive for drive in self._work.drives.holders(record.name) if drive is not source]
        if others or (record.name in source.strays and record.name not in source.sealed):
            raise FailedPrecondition(
                f"{record.name} is also on {', '.join(d.describe() for d in others) or 'elsewhere'}"
            )
        return source, target

    async def _on(self, drive: Drive, fn: Callable[[], T], what: str, within: float = SLICE_SECONDS) -> T:
        """Call blocking ``fn`` in threads that nothing else of the drive waits for."""
        try:
            return await self._work.drives.executors.run(f"moving {drive.fsuuid}", fn, within, what)
        except OSError as error:
            raise self._work.explained(drive, f"{what} of {self.name}", error) from error

    # ---- the way

    async def _run(self) -> None:
        source, target = self._drives()
        if await self._is_sealed(source, target):
            self._state = MoveState.COPIED
            return
        record = _wanted(source.volumes[self.name], self._order.record)
        target.reserve(self.name, record.capacity)
        try:
            await self._begin(source, target, record)
            await self._follow()
        finally:
            target.release(self.name)

    async def _is_sealed(self, source: Drive, target: Drive) -> bool:
        """Tell whether a former run of the agent had come to the end."""
        order = self._order
        if (source.sealed.get(self.name), source.strays.get(self.name)) != (order.id, order.target):
            return False
        view = target.view
        copy = await self._on(target, lambda: incoming.found(view, order.record.name), "looking at the copy")
        return copy is not None and copy.move == order.id

    async def _begin(self, source: Drive, target: Drive, record: VolumeRecord) -> None:
        old, new, name = source.view, target.view, self.name
        if name in source.sealed:
            async with self._work.turns.take(name, kind="move"):
                await self._on(source, lambda: incoming.unseal(old, name), "unsealing")
                source.seal(name, "", "")
        known = {other: project for other, project in target.projects.items() if other != name}
        await self._on(target, lambda: incoming.begin(new, record, known), "making the copy")
        target.set_copy(name, HeldCopy(name=name))

        def size() -> int:
            with incoming.both(old, new, name) as (volume, _):
                return measure(volume, MEASURE_SECONDS)

        self._total = await self._on(source, size, "measuring", 2 * MEASURE_SECONDS)

    async def _follow(self) -> None:
        """Make passes until nobody has the volume, and then the last one."""
        ready = 0.0
        while True:
            if monotonic() >= ready:
                begun = monotonic()
                async with self._places:
                    self._state = MoveState.COPYING
                    await self._pass(last=False)
                    await self._compare()
                self._message = ""
                ready = monotonic() + passes.pause_after(monotonic() - begun)
                self._state = MoveState.WAITING
            source, _ = self._drives()
            if source.use(self.name) == _NO_USE and monotonic() - self.heard < HEARD_SECONDS and await self._last():
                return
            self._free.clear()
            with suppress(TimeoutError):
                async with timeout(LOOK_SECONDS):
                    await self._free.wait()

    async def _last(self) -> bool:
        """Make the last pass, unless the volume is worked on, or mounted; tell whether all is copied and sealed."""
        name = self.name
        with suppress(Busy):
            async with self._work.turns.take(name, kind="move") as turn:
                source, target = self._drives()
                if source.use(name) != _NO_USE or await self._is_held(turn, source):
                    return False
                self._state = MoveState.LAST_PASS
                await self._pass(last=True)
                await self._mend()
                await self._seal(turn, source, target)
                self._state = MoveState.COPIED
                return True
        return False

    async def _is_held(self, turn: Turn, source: Drive) -> bool:
        """Tell whether anybody can still write into the volume: it is mounted, dead or covered, or files are open."""
        name, now = self.name, monotonic()
        if now < self._look_again:
            return True
        if await turn.run("mount table", partial(_mounted, name), SLICE_SECONDS, f"looking for mounts of {name}"):
            return True
        look = partial(incoming.who_has, source.view, name)
        self._message = await self._on(source, look, f"looking for who has {name}")
        self._look_again = now + HELD_SECONDS if self._message else 0.0
        return bool(self._message)

    async def _seal(self, turn: Turn, source: Drive, target: Drive) -> None:
        old, new, order, name = source.view, target.view, self._order, self.name
        record = _wanted(source.volumes[name], order.record)
        await self._on(target, lambda: incoming.complete(new, record, order.id), "syncing the copy", SYNC_SECONDS)
        whole = HeldCopy(name=name, move=order.id, incarnation=record.incarnation, size=record.capacity)
        target.set_copy(name, whole)
        await self._work.on(turn, source, lambda: incoming.seal(old, name, order.id, order.target), f"sealing {name}")
        source.seal(name, order.id, order.target)
        log.info("volume copied", extra={"volume": name, "drive": old.fsuuid, "target": new.fsuuid})
        self._work.drives.on_change()

    # ---- passes

    async def _pass(self, *, last: bool) -> None:
        self._passes += 1
        while not await self._copied(last=last):
            log.info("copying with another limit", extra={"volume": self.name, "limit": self._order.limit})

    async def _copied(self, *, last: bool) -> bool:
        """Let rsync make a pass; False: it was ended, for another limit holds now."""
        source, target = self._drives()
        self._done = 0
        self._limit_changed.clear()
        limit = self._order.limit
        return await copying.copy_unless(
            self._limit_changed, source.view, target.view, self.name, limit=limit, last=last, told=self._note
        )

    def _note(self, done: int) -> None:
        self._done, self._total = done, max(done, self._total)
        self._rate.note(monotonic(), done)

    async def _mend(self) -> None:
        """Compare; what differs is copied anew. After that nothing may differ.

        Raises:
            DriveFault: Something does all the same; names it.
        """
        for left in reversed(range(MENDS)):
            wrong = await self._compare()
            if not wrong:
                return
            if not left:
                break
            log.info("copied anew", extra={"volume": self.name, "count": len(wrong), "first": str(wrong[0])})
            _, target = self._drives()
            view = target.view
            await self._on(target, partial(incoming.take_out, view, self.name, wrong), "mending the copy")
            await self._pass(last=True)
        raise DriveFault(
            f"the copy of {self.name} is not as the volume: {'; '.join(map(str, wrong[:3]))}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; the volume stays where it is"
        )

    async def _compare(self) -> list[Wrong]:
        """Compare all that was not compared before and has kept its time of change since; return what differs."""
        source, target = self._drives()
        old, new = source.view, target.view

        def begin() -> Comparison:
            with incoming.both(old, new, self.name) as (volume, copy):
                return Comparison(volume, copy, self._known)

        comparison = await self._on(source, begin, "syncing before comparing", SYNC_SECONDS)
        try:
            while not await self._on(source, partial(comparison.some, SLICE, self._portion()), "comparing"):
                self._note(comparison.done)
                if self._order.limit:
                    await asyncio.sleep(SLICE)
                self._drives()
        finally:
            await self._on(source, comparison.close, "comparing")
        return comparison.wrong

    def _portion(self) -> int:
        """Return how many bytes may be read in one slice; 0: any number."""
        return int(self._order.limit * 2 * SLICE)


def _mounted(name: str) -> bool:
    return is_mounted(mounts.all_mounts(), name)


def _wanted(known: VolumeRecord, ordered: VolumeRecord) -> VolumeRecord:
    """Return the record whose size and limits the copy gets: the larger one."""
    return known if known.capacity >= ordered.capacity else ordered
