"""What each process tells of itself: version, use of the machine, whether the bus is there."""

import platform
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from directpv_common import __version__


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


def register_own(registry: CollectorRegistry, component: str, connected: Callable[[], bool]) -> None:
    """Expose what the process tells of itself.

    Args:
        registry: Of the process.
        component: What the process is, for instance ``controller``.
        connected: Tells whether the bus is connected; called in a thread of the HTTP server, and only reads.
    """
    registry.register(_Own(component, connected))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
