"""The account of all calls: how many run, how each ended. One log line and two metrics per call."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from directpv_common.process.lifecycle import InFlight
from directpv_common.protocol.errors import Internal, Unavailable
from directpv_common.protocol.messages import is_volume_name
from directpv_csi_gateway.adapters.status import as_grpc, as_ours

log = logging.getLogger(__name__)

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
FREQUENT: Final = frozenset(
    {
        "Probe",
        "GetPluginInfo",
        "GetPluginCapabilities",
        "ControllerGetCapabilities",
        "GetCapacity",
        "NodeGetCapabilities",
        "NodeGetVolumeStats",
        "NodeGetVolumeHealth",
        "NodeGetStorageHealth",
        "ControllerGetVolumeHealth",
        "ControllerListVolumeHealth",
    }
)
"""Calls that sidecars and kubelet repeat all the time: logged at INFO only when they fail."""
BAD: Final = frozenset({Status.INTERNAL, Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED})
"""Codes that someone should look at."""


class Call:
    """One call: what its log line will say."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.volume = ""
        self.code = Status.OK
        self.error = ""
        self.deadline_passed = False

    def about(self, volume: str) -> None:
        """Note the volume; what cannot be a volume's name does not get into the log."""
        self.volume = volume if is_volume_name(volume) else "(not a name)" if volume else ""


class Calls:
    """Counts and reports calls; made once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.in_flight = InFlight()
        self.closing = False
        """Set when the process is about to end: new calls are then refused."""
        self._total = Counter("directpv_csi_calls", "CSI calls that ended", ["method", "code"], registry=registry)
        self._seconds = Histogram(
            "directpv_csi_call_seconds", "Time per CSI call", ["method"], buckets=BUCKETS, registry=registry
        )
        running = Gauge("directpv_csi_calls_running", "CSI calls that have begun and not ended", registry=registry)
        running.set_function(lambda: self.in_flight.running)

    @contextmanager
    def account(self, call: Call) -> Iterator[None]:
        """Report ``call`` when the block ends, and turn its error into a gRPC status.

        Cancellation passes as it is: grpclib needs to see it.
        """
        begun = time.monotonic()
        try:
            if self.closing:
                raise Unavailable("the gateway is shutting down; repeat the call")
            yield
        except (asyncio.CancelledError, StreamTerminatedError):
            call.code = Status.DEADLINE_EXCEEDED if call.deadline_passed else Status.CANCELLED
            raise
        except Exception as error:
            raise self._failed(call, error) from error
        finally:
            self._report(call, time.monotonic() - begun)

    @staticmethod
    def _failed(call: Call, error: Exception) -> GRPCError:
        ours = as_ours(error)
        status = error if isinstance(error, GRPCError) else as_grpc(ours)
        if isinstance(ours, Internal) and ours is not error and status is not error:
            log.error("unforeseen", extra={"method": call.method}, exc_info=error)
        call.code, call.error = status.status, status.message or ""
        return status

    def _report(self, call: Call, seconds: float) -> None:
        self._total.labels(call.method, call.code.name).inc()
        self._seconds.labels(call.method).observe(seconds)
        if call.code is Status.OK:
            level = logging.DEBUG if call.method in FREQUENT else logging.INFO
        else:
            level = logging.WARNING if call.code in BAD else logging.INFO
        if not log.isEnabledFor(level):
            return
        facts: dict[str, object] = {"method": call.method, "code": call.code.name, "seconds": round(seconds, 6)}
        facts |= {key: value for key, value in (("volume", call.volume), ("error", call.error)) if value}
        log.log(level, "call", extra=facts)
