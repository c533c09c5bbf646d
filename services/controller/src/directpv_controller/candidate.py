"""Stands by, takes over, leads, and steps down; for as long as the process lives."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import time
from typing import Final

from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events
from directpv_common.bus.service import Unanswered, serve
from directpv_common.calls.scopes import task_group, timeout
from directpv_common.process.lifecycle import background
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_controller.config import Config
from directpv_controller.core.placing.model import Snapshot, Unreadable
from directpv_controller.core.reserving.invariants import promises
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.leading.collector import without_collector
from directpv_controller.leading.port import Lease, RegistryDamaged
from directpv_controller.leading.term import Resigned, Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.port import OpenStore, Store
from directpv_controller.serving.api import Api
from directpv_controller.serving.metrics import Figures

log = logging.getLogger(__name__)

LATE_SECONDS: Final = 15.0
SHOWN: Final = 100
"""Tasks that are named in a log."""
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""After a registry that cannot be read, again and again: people have to mend it, and others may lead."""
DRAIN_SECONDS: Final = 5.0
TELL_AT_MOST: Final = 1_000
"""Records that cannot be read are told one by one; metrics count all of them."""


class Candidate:
    """One controller process. Everything about a term is built anew when it begins, and thrown away when it ends."""

    def __init__(
        self, config: Config, *, holder: str, bus: Bus, events: Events, figures: Figures, open_store: OpenStore
    ) -> None:
        self._config = config
        self._holder = holder
        self._bus = bus
        self._events = events
        self._figures = figures
        self._open_store = open_store
        self._pause = PAUSE
        self._opened = False
        """Whether the store could be opened once: the settings make sense."""
        bus.on_reconnect(self._resync)

    def _resync(self) -> None:
        self._figures.resyncs += 1
        if self._figures.nodes is not None:
            self._figures.nodes.resync()

    async def run(self) -> None:
        """Stand by and lead, again and again, until cancelled.

        Raises:
            RegistryDamaged: The registry cannot be understood; people must decide.
            InvalidRequest: The settings of the registry make no sense.
        """
        while True:
            try:
                await self._connected()
                async with self._open_store() as store:
                    self._opened = True
                    self._figures.election, self._figures.problem = store.election, ""
                    await self._lead(store, await self._elected(store))
            except RegistryDamaged:
                raise
            except DirectPVError as error:
                if not (self._opened or isinstance(error, Unavailable)):
                    raise  # later, a file of settings may just be being replaced
                self._figures.problem = error.message
                log.warning("registry not available", extra={"error": error.message})
            finally:
                self._figures.election = None
            await asyncio.sleep(self._pause)

    async def _connected(self) -> None:
        """Wait for the bus: who cannot be asked should not lead."""
        while not self._bus.connected:  # noqa: ASYNC110 - the bus tells of reconnects, not of the first connection
            await asyncio.sleep(PAUSE)

    async def _elected(self, store: Store) -> Lease:
        log.info("standing by", extra={"registry": store.registry.id})
        return await store.election.campaign()

    async def _lead(self, store: Store, lease: Lease) -> None:
        """Lead until that is over; give the lease back if it is still ours."""
        keeper = asyncio.create_task(lease.keep(), name="lease")
        late, why = asyncio.create_task(_told_if_late(keeper), name="late"), "shutdown"
        try:
            async with task_group() as tasks:
                tasks.create_task(self._until_lost(keeper), name="until lost")
                tasks.create_task(self._until_disconnected(), name="until disconnected")
                tasks.create_task(self._serve(store, lease), name="serve")
        except* Resigned as resigned:
            why = _why(resigned)
        finally:
            log.warning("leading no longer", extra={"epoch": lease.epoch, "why": why})
            self._events.emit("leader", "lost", self._holder, epoch=lease.epoch, why=why)
            late.cancel()
            await lease.release()
            keeper.cancel()

    async def _until_lost(self, keeper: asyncio.Task[str]) -> None:
        raise Resigned(await asyncio.shield(keeper))

    async def _until_disconnected(self) -> None:
        """Step down when the bus is away for longer than a lease: somebody else may still be connected."""
        last = time.monotonic()
        while time.monotonic() - last <= self._config.lease_seconds:
            await asyncio.sleep(self._config.lease_seconds / 10)
            if self._bus.connected:
                last = time.monotonic()
        raise Resigned("the bus is away for longer than a lease")

    async def _serve(self, store: Store, lease: Lease) -> None:
        begun = time.monotonic()
        try:
            ledger = await self._load(store)
            cordon = self._config.on_predicted_failure == "cordon"
            term = Term(ledger, store.registry, lease, self._bus, self._events, cordon_predicted=cordon)
            await self._open_term(store, term, time.monotonic() - begun)
        except RegistryDamaged:
            raise
        except (DirectPVError, Unanswered) as error:  # rights or definitions may be missing, and come back
            self._figures.problem = str(error)
            raise Resigned(str(error)) from error
        finally:
            self._figures.term = self._figures.nodes = self._figures.moves = None
            gc.unfreeze()

    async def _load(self, store: Store) -> Ledger:
        self._pause = min(2 * self._pause, LONGEST_PAUSE)  # unless this goes well
        snapshot = await store.registry.load()
        ledger = await asyncio.to_thread(_build, snapshot)
        for drive in ledger.drives.values():
            for violation in promises(drive):
                log.error("registry is inconsistent", extra={"what": violation})
        self._tell_unreadable(snapshot.unreadable)
        return ledger

    def _tell_unreadable(self, records: list[Unreadable]) -> None:
        """One bad record must not stop all others; what it stands for is taken in when its node reports it."""
        if records:
            log.error("records of the registry cannot be read", extra={"count": len(records)})
        for each in records[:TELL_AT_MOST]:
            log.error("record left out", extra={"what": f"{each.noun} {each.name}", "why": each.why})
            self._events.emit(each.noun, "unreadable", each.name, why=each.why)

    def report(self) -> None:
        """Log which invariants do not hold; stops the leader for about a second per 500,000 volumes."""
        term = self._figures.term
        if term is None:
            log.info("not leading: no invariants to check")
            return
        violations = term.ledger.check()
        log.info("invariants checked", extra={"violations": len(violations)})
        for violation in violations:
            log.error("invariant violated", extra={"what": violation})

    async def _open_term(self, store: Store, term: Term, loading: float) -> None:
        nodes = Nodes(
            term,
            online_seconds=self._config.online_seconds,
            read_pod=store.read_pod,
            read_pv=store.read_pv,
            forget_key=store.forget_key,
        )
        api = Api(term, nodes, self._figures)
        if not await store.registry.rebuilding():
            term.settled.set()
        service = serve(
            self._bus,
            name="directpv-controller",
            description="Places volumes on drives and keeps the registry",
            handlers=api.handlers(),
            queue=self._holder,
            metadata={
                "holder": self._holder,
                "pid": str(os.getpid()),
                "epoch": str(term.fence.epoch),
                "registry": term.fence.registry,
            },
        )
        async with contextlib.AsyncExitStack() as resources:  # closed in reverse: no new calls, running ones, orders
            await resources.enter_async_context(nodes.running())
            await resources.enter_async_context(store.attending(term, nodes, api.init_devices))
            resources.push_async_callback(self._drain, api)
            await resources.enter_async_context(api.moves.running())
            await resources.enter_async_context(background(self._resume(api)))
            await resources.enter_async_context(service)
            self._figures.term, self._figures.nodes, self._figures.moves = term, nodes, api.moves
            self._figures.terms += 1
            self._tell_elected(term, loading)
            await self._bus.publish(self._bus.subjects.leader, term.fence)
            if not term.settled.is_set():
                await self._rebuild(term, nodes)
            await term.over()

    def _tell_elected(self, term: Term, loading: float) -> None:
        self._pause = PAUSE
        facts = {"epoch": term.fence.epoch, "drives": len(term.ledger.drives), "volumes": len(term.ledger.volumes)}
        log.info("leading", extra={**facts, "seconds": round(loading, 3)})
        self._events.emit("leader", "elected", self._holder, **facts, seconds=round(loading, 3))

    async def _rebuild(self, term: Term, nodes: Nodes) -> None:
        """Let nodes report their drives before the first volume is placed by a new registry.

        Nodes have some seconds to be heard; who was heard has the time that its drives take, for a volume that lives on
        one of them must not be placed a second time.
        """
        seconds = self._config.rebuild_seconds
        log.info("the registry is new: waiting for nodes to report their drives", extra={"seconds": seconds})
        await asyncio.sleep(seconds)
        await nodes.all_taken_in()
        try:
            await term.settle()
        except DirectPVError as error:
            raise Resigned(error.message) from error
        log.info("drives are taken in", extra={"drives": len(term.ledger.drives), "volumes": len(term.ledger.volumes)})

    async def _resume(self, api: Api) -> None:
        with contextlib.suppress(Unanswered):  # this process leads no longer, as others notice too
            await api.resume()

    async def _drain(self, api: Api) -> None:
        with contextlib.suppress(TimeoutError):
            async with timeout(DRAIN_SECONDS):
                await api.drain()


def _build(snapshot: Snapshot) -> Ledger:
    """Build the memory without the garbage collector, and keep it from ever looking at it."""
    with without_collector():
        ledger = Ledger.load(snapshot, random.random)
        gc.freeze()
    return ledger


async def _told_if_late(keeper: asyncio.Task[str]) -> None:
    """Say what a term still waits for long after its lease has ended: nobody of this process leads until it is over."""
    await asyncio.wait({keeper})
    await asyncio.sleep(LATE_SECONDS)
    stacks = [f"{task.get_name()}: {frame}" for task in asyncio.all_tasks() for frame in task.get_stack(limit=1)]
    log.error("a term does not end though its lease has", extra={"waiting": sorted(stacks)[:SHOWN]})


def _why(group: BaseExceptionGroup[Resigned]) -> str:
    """Return the reason that one of several tasks gave, however deep it lies."""
    first = group.exceptions[0]
    return _why(first) if isinstance(first, BaseExceptionGroup) else str(first)
