"""``/metrics``, ``/ready`` and ``/healthz`` over HTTP, from a thread of its own.

A thread, because a probe must get an answer when the event loop hangs: that is what ``/healthz`` reports.
"""

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

BEAT_SECONDS: Final = 1.0
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What a kernel without IPv6 says."""
HUNG_SECONDS: Final = 30.0
"""The event loop has not run for so long: the process is not healthy."""

Ready = Callable[[], str]
"""Returns why the service is not ready, or an empty string. Called from another thread: only reads."""


class Monitor:
    """What the probes ask: is the loop alive, and is the service ready?"""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._beat = time.monotonic()

    async def run(self) -> None:
        """Show that the loop runs, until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def unhealthy(self) -> str:
        """Return why the process should be restarted, or an empty string."""
        silent = time.monotonic() - self._beat
        return f"event loop has not run for {silent:.0f} s" if silent > HUNG_SECONDS else ""

    def not_ready(self) -> str:
        """Return why the service cannot work now, or an empty string."""
        return self.unhealthy() or self._ready()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Bind, on IPv6 for IPv4 too, without asking DNS for the host's name, as the base class does."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Keep probes out of the log."""


def application(
    monitor: Monitor, registry: CollectorRegistry, more: Mapping[str, Ready]
) -> Callable[..., Iterable[bytes]]:
    """Return the WSGI application.

    Paths: ``/ready``, ``/healthz``, ``more`` probes, and metrics on ``/metrics`` and any other.
    """
    metrics = make_wsgi_app(registry)
    probes = {"/ready": monitor.not_ready, "/healthz": monitor.unhealthy, **more}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        probe = probes.get(environ.get("PATH_INFO", ""))
        if probe is None:
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        why = probe()
        start_response("503 Service Unavailable" if why else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why or 'ok'}\n".encode()]

    return app


@contextlib.asynccontextmanager
async def serve_http(
    monitor: Monitor, registry: CollectorRegistry, *ports: int, host: str, probes: Mapping[str, Ready] | None = None
) -> AsyncIterator[None]:
    """Serve on each of ``ports`` of ``host`` while the block runs; port 0 is left out.

    Args:
        monitor: Answers ``/ready`` and ``/healthz``.
        registry: The metrics.
        ports: TCP ports.
        host: Address to listen on; empty is every one, IPv4 and IPv6, for clusters may have either alone.
        probes: Others, by path; they may block for some seconds.

    Raises:
        OSError: A port is taken; names it.
    """
    app = application(monitor, registry, probes or {})
    servers: list[WSGIServer] = []
    try:
        for port in filter(None, ports):
            try:
                server = _listening(host, port, app)
            except OSError as error:
                where = f"[{host}]" if ":" in host else host or "every address"
                raise OSError(error.errno, f"cannot serve HTTP on {where}:{port}: {error.strerror}") from error
            servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name=f"http-{port}").start()
        yield
    finally:
        for server in servers:
            await asyncio.to_thread(server.shutdown)
            server.server_close()


def _listening(host: str, port: int, app: Callable[..., Iterable[bytes]]) -> WSGIServer:
    if not host:
        try:
            return _listening("::", port, app)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
            return _listening("0.0.0.0", port, app)  # noqa: S104 - pods are probed from outside
    kind = _Server6 if ":" in host else _Server
    return make_server(host, port, app, server_class=kind, handler_class=_Handler)
