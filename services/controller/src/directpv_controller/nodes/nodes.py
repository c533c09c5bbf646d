"""All nodes: hears their heartbeats, and hands them to one worker per node."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from heapq import merge
from itertools import groupby, islice
from typing import Final

from nats.aio.msg import Msg
from sortedcontainers import SortedList

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import detached, remaining
from directpv_common.calls.pace import Pace
from directpv_common.calls.scopes import task_group, timeout
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_common.protocol.wire import decode
from directpv_controller.core.placing.model import Node
from directpv_controller.core.reserving.books import UNKNOWN_NODE
from directpv_controller.core.reserving.retiring import heard
from directpv_controller.core.showing.paging import after, page, token
from directpv_controller.leading.term import Term
from directpv_controller.nodes.pod_labels import PodLabels, ReadPod, ReadPv
from directpv_controller.nodes.roll_call import RollCall
from directpv_controller.nodes.worker import NodeWorker

log = logging.getLogger(__name__)

ForgetKey = Callable[[str, bool], Awaitable[bool]]
"""Forgets the key of a node unless it is a dry run (second), and tells whether there was one."""

PULLS_AT_ONCE: Final = 32
"""Inventories asked for at the same time, over all nodes."""
WAIT_SECONDS: Final = 0.05
REPORT_SECONDS: Final = 15.0
TELL_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 3600.0
"""A node without drives that is silent for so long was taken out of the cluster."""
SWEEP_SECONDS: Final = 60.0
BACK: Final = (
    "none of the drives that it had is taken in: discover shows them; bring one back with its volumes with kubectl "
    "directpv recover DRIVE, or stop the node's agent"
)
"""What to do about a node that was given up and is heard."""
HEARTBEATS_AT_ONCE: Final = 100
HEARTBEATS_EACH_SECOND: Final = 50.0
"""Of one node; what is told more often is not looked at."""


class Nodes:
    """The workers of all nodes that were heard or must be told something."""

    def __init__(
        self,
        term: Term,
        *,
        online_seconds: float,
        read_pod: ReadPod | None = None,
        read_pv: ReadPv | None = None,
        forget_key: ForgetKey | None = None,
    ) -> None:
        self.resyncs = 0
        """How often all inventories were asked for again because messages may have been lost."""
        self._term = term
        self._forget_key = forget_key
        self._online_seconds = online_seconds or math.inf
        self.roll_call = RollCall(term, online_seconds, self._last_heard)
        self._workers: dict[str, NodeWorker] = {}
        self._worker_names: SortedList[str] = SortedList()
        self._pace = Pace(HEARTBEATS_AT_ONCE, HEARTBEATS_EACH_SECOND)
        self._pulls = asyncio.Semaphore(PULLS_AT_ONCE)
        self._pods = PodLabels(term, read_pod, self._spawn, read_pv) if read_pod and read_pv else None
        self._group = asyncio.TaskGroup()  # noqa: TID251 - entered by task_group
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear heartbeats and give orders while the block runs."""
        async with task_group(self._group):
            unsubscribe = await self._term.bus.subscribe(self._term.bus.subjects.all_states, self._heard)
            self._spawn(self.roll_call.run())
            self._spawn(self._sweep())
            try:
                yield
            finally:
                self._closed = True
                await unsubscribe()
                for task in tuple(self._running):
                    task.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` beside everything else, until the term ends; no caller's deadline or trace is its own."""
        if self._closed:
            work.close()
            return
        task = self._group.create_task(work, context=detached())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.forget_gone(time.monotonic() - FORGET_SECONDS)

    def forget_gone(self, since: float) -> None:
        """Forget nodes without drives that were not heard ``since``, and are not being told anything."""
        nodes = self._term.ledger.nodes
        for name, worker in tuple(self._workers.items()):
            if worker.seen < since and worker.idle and not (name in nodes and nodes[name].drives):
                log.info("node forgotten", extra={"node": name, "last_seen": worker.seen_at})
                self._forget(name)

    def drop(self, name: str) -> None:
        """Forget a node that was given up; it is known again when it is heard."""
        worker = self._workers.get(name)
        if worker is not None and worker.idle and not self._has_drives(name):
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._workers[name]
        self._worker_names.remove(name)

    def _has_drives(self, name: str) -> bool:
        nodes = self._term.ledger.nodes
        return name in nodes and bool(nodes[name].drives)

    async def forget_key(self, name: str, *, dry_run: bool) -> bool:
        """Forget the key by which a node's server came to the bus; tell whether there is, or was, one.

        Raises:
            Unavailable: It may be there still.
        """
        return self._forget_key is not None and await self._forget_key(name, dry_run)

    def worker(self, name: str) -> NodeWorker:
        """Return the worker of a node, whether or not the node was heard."""
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = NodeWorker(name, self._term, self._spawn, self._pulls, self._pods)
            self._worker_names.add(name)
        return worker

    def _heard(self, message: Msg) -> None:
        if not self._pace.allows(message.subject, time.monotonic()):  # the next one says all of it again
            return
        try:
            state = decode(message.data, m.NodeState)
        except DirectPVError as error:
            log.warning("heartbeat cannot be read", extra={"subject": message.subject, "error": error.message})
            return
        if self._term.bus.subjects.state(state.info.name) != message.subject:
            log.warning(
                "heartbeat on another node's subject", extra={"subject": message.subject, "node": state.info.name}
            )
            return
        self.worker(state.info.name).heard(state, now_rfc3339())
        self._note_back(state.info.name)
        if self._term.ledger.set_offline(state.info.name, False):
            self._term.events.emit("node", "online", state.info.name, node=state.info.name)

    def _note_back(self, name: str) -> None:
        """Note that a node is back that was given up, and tell, once, whoever led then."""
        with contextlib.suppress(Unanswered):
            change = heard(self._term.ledger, name, now_rfc3339())
            if change is not None:
                self._spawn(self._told_back(name, self._term.commit(change)))

    async def _told_back(self, name: str, durable: Awaitable[None]) -> None:
        try:
            await durable
        except DirectPVError as error:  # the next heartbeat says it again
            log.warning("node that was given up is back", extra={"node": name, "error": error.message})
            return
        if (noted := self._term.ledger.given_up.get(name)) is not None:
            facts = {"node": name, "cause": f"it was removed at {noted.since}", "advice": BACK}
            log.warning("node that was given up is back", extra=facts)
            self._term.events.emit("node", "returned", name, **facts)

    def _last_heard(self, name: str) -> float:
        worker = self._workers.get(name)
        return worker.seen if worker is not None and worker.state is not None else -math.inf

    def resync(self) -> None:
        """Messages may have been lost: compare everything again with the next heartbeats."""
        self.resyncs += 1
        for worker in self._workers.values():
            worker.forget()
            worker.pull()
        self.roll_call.begin()

    def online(self, name: str) -> bool:
        """Tell whether the node was heard lately; with drives, whether these are open to new volumes."""
        heard, node = self._last_heard(name), self._term.ledger.nodes.get(name)
        if node is not None and node.drives:
            return math.isfinite(heard) and not node.offline
        return time.monotonic() - heard < self._online_seconds

    @property
    def unfit(self) -> int:
        """Drives that cannot be taken in; may be read from another thread."""
        return sum(len(worker.unfit) for worker in tuple(self._workers.values()))

    def counts(self) -> tuple[int, int]:
        """Return how many nodes are online and offline, as :meth:`page` shows them; may be read from another thread."""
        names = self._names()
        online = sum(map(self.online, names))
        return online, len(names) - online

    def _names(self) -> set[str]:
        """Return the nodes that were heard or have drives."""
        heard = {name for name, worker in tuple(self._workers.items()) if worker.state is not None}
        nodes = tuple(self._term.ledger.nodes.items())
        return heard | {name for name, node in nodes if node.drives and name != UNKNOWN_NODE}

    def knows(self, name: str) -> bool:
        """Tell whether the node was heard in this term, or has drives."""
        worker, node = self._workers.get(name), self._term.ledger.nodes.get(name)
        return (worker is not None and worker.state is not None) or (node is not None and bool(node.drives))

    async def reported(self) -> None:
        """Wait until it is known which nodes are there, and with a new registry what they have.

        Raises:
            Unavailable: That takes longer than the caller can wait.
        """
        if self._term.settled.is_set() and self.roll_call.over.is_set():
            return
        try:
            async with timeout(remaining(REPORT_SECONDS)):
                await self._term.settled.wait()
                await self.roll_call.over.wait()
        except TimeoutError:
            raise Unavailable("nodes are still reporting their drives; repeat a little later") from None

    async def all_taken_in(self) -> None:
        """Wait until of no node that is heard a drive is left to be taken in; say now and then which it waits for."""
        told = time.monotonic()
        while missing := {worker.name: left for worker in self._workers.values() if (left := worker.missing())}:
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                log.warning("waiting for drives to be taken in", extra={"drives": dict(islice(missing.items(), 10))})
            await asyncio.sleep(WAIT_SECONDS)

    def page(self, request: m.ListNodes) -> m.NodePage:
        """Return one page of the nodes that were heard or have drives, ordered by name.

        Raises:
            InvalidToken: ``token`` was not handed out here.
        """
        names = self._names_after(after(request.token, "n"))
        if not request.paged:
            return m.NodePage(nodes=tuple(map(self._summary, filter(self._shows, names))))
        nodes, following = page(names, lambda name: self._summary(name) if self._shows(name) else None, request.limit)
        return m.NodePage(nodes=nodes, next=token("n", following))

    def _names_after(self, start: str) -> Iterator[str]:
        """Return all names of which anything is known, in order; nothing may change meanwhile."""
        known = (self._term.ledger.node_names, self._worker_names)
        return (name for name, _ in groupby(merge(*(names.irange(start, inclusive=(False, True)) for names in known))))

    def _shows(self, name: str) -> bool:
        return name != UNKNOWN_NODE and self.knows(name)

    def _summary(self, name: str) -> m.NodeSummary:
        node = self._term.ledger.nodes.get(name) or Node({})
        worker, noted = self._workers.get(name), self._term.ledger.given_up.get(name)
        if worker is not None and worker.state is not None:
            info, last_seen = worker.state.info, worker.seen_at
        else:
            topology = next((drive.record.topology for drive in node.drives.values()), {})
            info, last_seen = m.NodeInfo(name=name, topology=topology), ""
        return m.NodeSummary(
            info=info,
            online=self.online(name),
            last_seen=last_seen,
            drives=len(node.drives),
            total=node.total,
            allocated=node.allocated,
            volumes=node.volumes,
            given_up=noted.since if noted is not None and noted.back and not node.drives else "",
        )
