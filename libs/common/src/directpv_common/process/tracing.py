"""Traces for OpenTelemetry, if the environment names a collector: one from a CSI call to the directory on a drive.

Source: OpenTelemetry, "OTLP exporter configuration" and "General SDK configuration": ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``, ``OTEL_TRACES_EXPORTER``, ``OTEL_SDK_DISABLED`` are read here; the SDK reads all
others itself (sampler, headers, certificates, limits). OTLP goes over HTTP with protobuf.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from directpv_common import __version__
from directpv_common.calls.context import TRACE_HEADER, Recording, Trace, record_with

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
LAST_SECONDS: Final = 3.0
"""What the last spans have to get away when the process ends; a collector that is away keeps nobody."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether traces are to be sent."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return environment.get("OTEL_TRACES_EXPORTER") == "otlp" or any(environment.get(name) for name in ENDPOINTS)


@contextlib.contextmanager
def traced(service: str) -> Iterator[None]:
    """Send the spans of this process to a collector while the block runs, if the environment asks for that."""
    if not wanted(os.environ):
        yield
        return
    provider = _provider(service)
    record_with(_Recorder(provider.get_tracer("directpv", __version__)))
    log.info("traces are sent", extra={"to": next((os.environ[name] for name in ENDPOINTS if name in os.environ), "")})
    try:
        yield
    finally:
        record_with(None)
        ending = threading.Thread(target=provider.shutdown, daemon=True, name="traces")
        ending.start()
        ending.join(LAST_SECONDS)


def _provider(service: str) -> "TracerProvider":
    # Imported only where traces are wanted: a tenth of a second, and 20 MiB.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"directpv-{service}"}
    provider = TracerProvider(
        resource=Resource.create({**named, "service.version": __version__}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class _Recording:
    def __init__(self, span: "Span") -> None:
        context = span.get_span_context()
        self._span = span
        self.trace = Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{int(context.trace_flags):02x}")

    def end(self, noted: dict[str, str]) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attributes({f"directpv.{name}": text for name, text in noted.items() if name != "error"})
        if "error" in noted:
            self._span.set_status(Status(StatusCode.ERROR, noted["error"]))
        self._span.end()


class _Recorder:
    def __init__(self, tracer: "Tracer") -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer, self._kind, self._propagator = tracer, SpanKind.SERVER, TraceContextTextMapPropagator()

    def begin(self, name: str, traceparent: str | None) -> Recording:
        parent = self._propagator.extract({TRACE_HEADER: traceparent} if traceparent else {})
        return _Recording(self._tracer.start_span(name, context=parent, kind=self._kind))
