"""Prometheus metrics of the controller, and what its probes say."""

import asyncio
import logging
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events
from directpv_common.process.own_metrics import register_own
from directpv_controller.core.placing.explain import REASONS
from directpv_controller.leading.port import Election
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.serving.moves import Moves

log = logging.getLogger(__name__)

PREFIX: Final = "directpv_controller"
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CUT_OFF: Final = ("node", "administrator", "observer", "stranger", "former-node", "former-controller")
"""Who may be cut off from NATS. Each is 0 from the beginning: the first that is cut off is counted, too, for Prometheus
sees no growth in a series that comes with a 1."""


class Figures:
    """What is counted while it happens; the rest is read when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"{PREFIX}_requests", "API calls, by endpoint and outcome", ("endpoint", "outcome"), registry=self.registry
        )
        self.refusals = Counter(
            f"{PREFIX}_placement_refusals",
            "Volumes for which there was no drive, by what holds for most drives that were looked at",
            ("reason",),
            registry=self.registry,
        )
        for reason in REASONS:
            self.refusals.labels(reason)
        self._batch = Histogram(
            f"{PREFIX}_commit_batch_size", "Decisions per transaction", buckets=BATCHES, registry=self.registry
        )
        self._latency = Histogram(
            f"{PREFIX}_commit_seconds", "Seconds per transaction", buckets=SECONDS, registry=self.registry
        )
        self._calls = Counter(
            f"{PREFIX}_kubernetes_requests",
            "Requests to the API server, by verb, resource and outcome",
            ("verb", "resource", "outcome"),
            registry=self.registry,
        )
        self._conflicts = Counter(
            f"{PREFIX}_kubernetes_conflicts",
            "Writes that somebody else's was ahead of, by resource",
            ("resource",),
            registry=self.registry,
        )
        self._admissions = Counter(
            f"{PREFIX}_bus_admissions",
            "Connections to NATS that were decided on, by outcome (admitted, refused or undecided) and of whom",
            ("outcome", "role"),
            registry=self.registry,
        )
        self._deciding = Histogram(
            f"{PREFIX}_bus_admission_seconds",
            "From NATS' question who somebody is to the answer, or to giving up",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 5),
            registry=self.registry,
        )
        self._cuts = Counter(
            f"{PREFIX}_bus_cuts",
            "Connections to NATS that were ended: key or pod is not known any more, or too much was sent; by role",
            ("role",),
            registry=self.registry,
        )
        for role in CUT_OFF:
            self._cuts.labels(role)
        self.term: Term | None = None
        self.nodes: Nodes | None = None
        self.moves: Moves | None = None
        self.election: Election | None = None
        self.problem = "starting"
        self.terms = 0
        self.resyncs = 0
        self.bus: Bus | None = None
        self.guarding: asyncio.Event | None = None
        """Set once this process tells NATS who may come in; None if that is not asked of it."""
        self.events: Events | None = None
        self.registry.register(_Collector(self))
        register_own(self.registry, "controller", lambda: self.bus is not None and self.bus.connected)

    def observe_commit(self, size: int, seconds: float) -> None:
        """Count one transaction; called from the registry's thread."""
        self._batch.observe(size)
        self._latency.observe(seconds)

    def observe_call(self, verb: str, resource: str, outcome: str) -> None:
        """Count one request to the API server."""
        self._calls.labels(verb, resource, outcome).inc()

    def count_conflict(self, resource: str) -> None:
        """Count one write that was made on an older version of an object."""
        self._conflicts.labels(resource).inc()

    def count_admission(self, outcome: str, role: str, seconds: float) -> None:
        """Count one connection to NATS that was decided on, after so many seconds."""
        self._admissions.labels(outcome, role).inc()
        self._deciding.observe(seconds)

    def count_cut(self, role: str) -> None:
        """Count one connection to NATS that was ended."""
        self._cuts.labels(role).inc()

    @property
    def dropped(self) -> int:
        """Events that nobody will see."""
        return self.events.dropped if self.events else 0

    def not_ready(self) -> str:
        """Return why this controller neither leads nor could take over, or an empty string."""
        if self.bus is None or not self.bus.connected:
            return "not connected to NATS"
        if self.guarding is not None and not self.guarding.is_set():
            return "cannot tell NATS yet who may come in: the keys of nodes are not read"
        if self.term is not None:
            return ""
        if self.election is not None and self.election.reachable:
            return self.problem
        return self.problem or "the registry does not answer"


class _Collector(Collector):
    """Reads integers that the event loop's thread writes."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> list[Metric]:
        """Return the current values."""
        figures, term = self._figures, self._figures.term
        resyncs = CounterMetricFamily(f"{PREFIX}_resyncs", "Times all inventories were asked for again")
        resyncs.add_metric([], figures.resyncs)
        dropped = CounterMetricFamily(f"{PREFIX}_events_dropped", "Events pushed out of a full buffer")
        dropped.add_metric([], figures.dropped)
        terms = CounterMetricFamily(f"{PREFIX}_terms", "Times this process was elected")
        terms.add_metric([], figures.terms)
        leads = _gauge("is_leader", "1 while this process leads", int(term is not None))
        shown = _of_term(term) + _of_nodes(figures.nodes) if term and figures.nodes else []
        stuck = "Moves that do not go on without people: they have failed, or their end is refused for five minutes"
        moves = [_gauge("moves_stuck", stuck, figures.moves.stuck)] if term and figures.moves else []
        return [leads, terms, resyncs, dropped, *shown, *moves]


def _of_term(term: Term) -> list[Metric]:
    totals = term.ledger.totals
    drives = GaugeMetricFamily(f"{PREFIX}_drives", "Drives by status", labels=["status"])
    for status, count in tuple(totals.drives.items()):
        drives.add_metric([status], count)
    return [
        drives,
        _gauge("epoch", "Epoch of the leadership", term.fence.epoch),
        _gauge("term_seconds", "Seconds since this process leads", time.monotonic() - term.since),
        _gauge("unreadable_records", "Records of the registry that cannot be read", len(term.ledger.unreadable)),
        _gauge("volumes", "Volumes, those being deleted included", totals.volumes),
        _gauge("volumes_contested", "Volumes that drives show on which they are not known", len(term.ledger.contested)),
        _gauge(
            "drives_overcommitted", "Drives of which volumes were promised more than there is", _overcommitted(term)
        ),
        _gauge("allocated_bytes", "Bytes promised on all drives, overhead included", totals.allocated),
        _gauge("free_bytes", "Bytes not promised, on all drives of whatever state", totals.total - totals.allocated),
    ]


def _overcommitted(term: Term) -> int:
    """Count such drives; they are copied first, for the event loop goes on to change them."""
    return sum(drive.overcommitted for drive in tuple(term.ledger.drives.values()))


def _of_nodes(nodes: Nodes) -> list[Metric]:
    online, offline = nodes.counts()
    shown = GaugeMetricFamily(f"{PREFIX}_nodes", "Nodes that were heard or have drives, by state", labels=["state"])
    shown.add_metric(["online"], online)
    shown.add_metric(["offline"], offline)
    return [
        shown,
        _gauge("drives_not_reconciled", "Drives whose node tells of them what cannot be taken in", nodes.unfit),
    ]


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help, value=value)
