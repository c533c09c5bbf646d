"""Takes in which pods use volumes, together with what their labels say of them. No call of anybody waits for it.

A volume gets its new pod and that pod's labels in one commit. Until then the drive names another pod than the registry,
so that whoever leads sees in the drive's inventory what is left to do: nothing else has to be remembered, a leader that
dies in between is made good by the next, and a take-over reads no pod whose labels were read before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from directpv_common.bus.service import Unanswered
from directpv_common.crd.persistent_volumes import Seen
from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.core.placing.model import Volume
from directpv_controller.core.taking_in.pods import Chosen, chosen, pod_of
from directpv_controller.core.taking_in.reconcile_volumes import kept_alike
from directpv_controller.leading.term import Term
from directpv_controller.nodes.orders import NodeOrders, Spawn

T = TypeVar("T")

ReadPod = Callable[[VolumeRecord], Awaitable[dict[str, str]]]
"""Returns all labels of the pod that a volume's record names; none if that pod is gone.

Raises:
    Unavailable: It could not be asked now.
    DirectPVError: It will not tell, however often it is asked.
"""

ReadPv = Callable[[VolumeRecord], Awaitable[Seen | None]]
"""Returns what the PersistentVolume of a volume says; None if there is none. Raises as :data:`ReadPod`."""

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Pods read at the same time: a cluster that starts must not make the API server busy with this."""
TRIES: Final = 3
PAUSE: Final = 0.5
"""Seconds before the second try; twice as many before the third. Then the drive's next inventory asks again."""


class _News(NamedTuple):
    """A volume as its node records it, and how to tell that node what came of it."""

    record: VolumeRecord
    orders: NodeOrders
    new_pod: bool = True
    """Whether the pod's labels are to be read; else only what is kept of the volume's PersistentVolume."""


class PodLabels:
    """Works for one term of leadership; on one pod per volume at a time."""

    def __init__(self, term: Term, read: ReadPod, spawn: Spawn, read_pv: ReadPv) -> None:
        self._term, self._ledger = term, term.ledger
        self._read, self._read_pv, self._spawn = read, read_pv, spawn
        self._asked: set[str] = set()
        """Volumes whose PersistentVolume was asked for in this term without a new pod: once is enough."""
        self._waiting: dict[str, _News] = {}
        self._working: dict[str, VolumeRecord] = {}
        self._runners = 0

    def take_in(self, volumes: Iterable[VolumeRecord], orders: NodeOrders) -> None:
        """Take in the pods that these records name, soon; a later record of a volume replaces one that waits.

        Where the volumes are mounted is shown with it, so that a publish costs one write and not two.
        """
        for record in volumes:
            working = self._working.get(record.name)
            if working is None or pod_of(working) != pod_of(record):
                self._waiting[record.name] = _News(record, orders)
        self._begin()

    def keep(self, volumes: Iterable[VolumeRecord], orders: NodeOrders) -> None:
        """Keep what the PersistentVolumes of these volumes say, whose pods were taken in before that was kept."""
        for record in volumes:
            if record.name not in self._asked and record.name not in self._waiting:
                self._asked.add(record.name)
                self._waiting[record.name] = _News(record, orders, new_pod=False)
        self._begin()

    def _begin(self) -> None:
        for _ in range(min(len(self._waiting), AT_ONCE - self._runners)):
            self._runners += 1
            self._spawn(self._run())

    async def _run(self) -> None:
        try:
            while (news := self._next()) is not None:
                self._working[news.record.name] = news.record
                try:
                    await self._one(news)
                finally:
                    del self._working[news.record.name]
        finally:
            self._runners -= 1

    def _next(self) -> _News | None:
        """Return what to do next; volumes that another runner works on are left to it."""
        name = next((name for name in self._waiting if name not in self._working), None)
        return self._waiting.pop(name) if name is not None else None

    async def _one(self, news: _News) -> None:
        try:
            await self._attempt(*news)
            self._term.show((news.record,))  # where it is mounted; a commit has shown that already
        except Unanswered:
            pass  # whoever leads now sees the same
        except Exception:
            log.exception("pod not taken in", extra=_facts(news.record))
            news.orders.later(news.record.fsuuid)

    async def _attempt(self, record: VolumeRecord, orders: NodeOrders, new_pod: bool) -> None:
        try:
            labels = await self._insist(self._read, record, "pod") if new_pod else {}
            await self._take_over(
                record, labels or {}, await self._insist(self._read_pv, record, "persistent volume"), orders
            )
        except DirectPVError as error:
            log.info("pod not taken in yet", extra={**_facts(record), "error": error.message})
            orders.later(record.fsuuid)

    async def _insist(self, read: Callable[[VolumeRecord], Awaitable[T]], record: VolumeRecord, what: str) -> T | None:
        """Read, and again after a while; a refusal (None) must not keep people from seeing which pod it is."""
        for number in range(1, TRIES + 1):
            self._term.require_lead()
            try:
                return await read(record)
            except Unavailable as error:
                log.info("%s not read", what, extra={**_facts(record), "error": error.message, "try": number})
                if number == TRIES:
                    raise
                await asyncio.sleep(PAUSE * number)
            except DirectPVError as error:
                log.warning("%s cannot be read", what, extra={**_facts(record), "error": error.message})
                break
        return None

    async def _take_over(
        self, record: VolumeRecord, labels: dict[str, str], pv: Seen | None, orders: NodeOrders
    ) -> None:
        """Commit pod and labels; the node is told of labels as of any other edit."""
        await self._term.idle(record.name)
        volume = self._ledger.volumes.get(record.name)
        if volume is None or volume.record.deleting or volume.record.fsuuid != record.fsuuid:
            return
        self._ledger.require_idle(record.name)
        before = volume.record
        found = chosen(before.labels, labels)
        await self._term.commit(self._ledger.note_pod(volume, record, found.labels, pv))
        self._tell(record, found, orders.name)
        if kept_alike(volume.record, before):
            return
        orders.order(prepare=(volume.record,))
        if found.labels != before.labels:
            self._told_of_labels(orders, volume)

    def _told_of_labels(self, orders: NodeOrders, volume: Volume) -> None:
        facts = {"node": orders.name, "labels": volume.record.labels, "by": "pod"}
        self._term.events.emit("volume", "changed", volume.record.name, **facts)

    def _tell(self, record: VolumeRecord, found: Chosen, node: str) -> None:
        """Tell which labels of the pod were not taken: somebody may wonder, or may have tried something."""
        if not found.ignored:
            return
        log.warning("labels of a pod ignored", extra={**_facts(record), "labels": found.ignored})
        facts = {"pod": record.pod_name, "namespace": record.pod_namespace, "labels": found.ignored}
        self._term.events.emit("volume", "labels-ignored", record.name, node=node, **facts)


def _facts(record: VolumeRecord) -> dict[str, str]:
    return {"volume": record.name, "pod": record.pod_name, "namespace": record.pod_namespace}
