"""What each process tells of itself: version, use of the machine, whether the bus is there."""

import platform
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from directpv_common import __version__
from directpv_common.process.traffic import TRAFFIC, WHYS, Traffic


class _Own(Collector):
    def __init__(self, component: str, connected: Callable[[], bool]) -> None:
        self._component = component
        self._connected = connected

    def collect(self) -> Iterable[Metric]:
        """Return both families."""
        build = GaugeMetricFamily(
            "directpv_build_info", "1, with the version that runs", labels=("component", "version", "python")
        )
        build.add_metric((self._component, __version__, platform.python_version()), 1)
        yield build
        bus = GaugeMetricFamily("directpv_bus_connected", "1 while NATS can be reached", labels=("component",))
        bus.add_metric((self._component,), float(self._connected()))
        yield bus
        yield from _traffic(self._component, TRAFFIC)


def _traffic(component: str, seen: Traffic) -> Iterable[Metric]:
    """Return what the process has seen of the bus."""
    of, ours = ("component",), (component,)
    reconnects = CounterMetricFamily("directpv_bus_reconnects", "Connections to NATS that were made anew", labels=of)
    reconnects.add_metric(ours, seen.reconnects)
    buffered = GaugeMetricFamily("directpv_bus_events_buffered", "Events that wait for JetStream", labels=of)
    buffered.add_metric(ours, seen.buffered)
    dropped = CounterMetricFamily(
        "directpv_bus_messages_dropped", "Messages that nobody got, by why", labels=(*of, "why")
    )
    for why in WHYS:
        dropped.add_metric((component, why), seen.dropped[why])
    late = CounterMetricFamily(
        "directpv_bus_requests_late", "Requests without a reply in time, by endpoint", labels=(*of, "endpoint")
    )
    for endpoint, number in tuple(seen.late.items()):
        late.add_metric((component, endpoint), number)
    took = HistogramMetricFamily(
        "directpv_bus_request_seconds", "From a request to its reply, repeats included", labels=(*of, "endpoint")
    )
    for endpoint, times in tuple(seen.requests.items()):
        took.add_metric((component, endpoint), times.cumulative(), times.total)
    yield from (reconnects, buffered, dropped, late, took)


def register_own(registry: CollectorRegistry, component: str, connected: Callable[[], bool]) -> None:
    """Expose what the process tells of itself.

    Args:
        registry: Of the process.
        component: What the process is, for instance ``controller``.
        connected: Tells whether the bus is connected; called in a thread of the HTTP server, and only reads.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more per counter that nobody asks for
    registry.register(_Own(component, connected))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
