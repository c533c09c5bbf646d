"""Composition root of the CSI gateway: everything is built here, once."""

import logging
import os
import signal
import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from directpv_common.access.installation import certificates_of, read_keys
from directpv_common.access.nkey import key_of
from directpv_common.bus.connecting import INBOX, KEY_ADVICE, SECRET_ADVICE, node_inbox
from directpv_common.bus.greeting import outdated, silent
from directpv_common.bus.line import Line
from directpv_common.bus.trust import Trust
from directpv_common.process.config import load
from directpv_common.process.lifecycle import background, leaves, run, stop_on_signal
from directpv_common.process.logs import configure_logging
from directpv_common.process.monitoring import Monitor, serve_http
from directpv_common.process.own_metrics import register_own
from directpv_common.process.tracing import traced
from directpv_common.protocol.errors import DirectPVError
from directpv_csi_gateway.adapters.calls import Calls
from directpv_csi_gateway.adapters.controller import Controller
from directpv_csi_gateway.adapters.guard import Guard
from directpv_csi_gateway.adapters.identity import Identity
from directpv_csi_gateway.adapters.node import Node
from directpv_csi_gateway.adapters.server import serve_csi
from directpv_csi_gateway.adapters.unix import bound_socket
from directpv_csi_gateway.config import Config, Mode
from directpv_csi_gateway.pb import csi_grpc

log = logging.getLogger(__name__)


def services(config: Config, bus: Line, calls: Calls) -> Sequence[Guard]:
    """Return the services that ``config.mode`` asks for."""
    condition, node = config.volume_condition, config.node_name
    guards = [Guard(csi_grpc.IdentityBase.__mapping__, Identity(lambda: bus.connected).methods(), calls)]
    if config.mode is not Mode.NODE:
        guards.append(Guard(csi_grpc.ControllerBase.__mapping__, Controller(bus, condition=condition).methods(), calls))
    if config.mode is not Mode.CONTROLLER:
        guards.append(Guard(csi_grpc.NodeBase.__mapping__, Node(bus, node, condition=condition).methods(), calls))
    return guards


class Gateway:
    """The gateway that ``config`` describes."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._registry = CollectorRegistry()
        self._calls = Calls(self._registry)
        name = f"directpv-csi-gateway {config.node_name}".strip()
        keys = read_keys(config.bus_secret)
        nkey = keys[0].gateway if keys else key_of(config.nats_nkey)
        inbox = node_inbox(config.node_name) if config.node_name else INBOX
        self._bus = Line(
            config.nats_url,
            name=name,
            prefix=config.subject_prefix,
            nkey=nkey,
            inbox=inbox,
            advice=SECRET_ADVICE if keys else KEY_ADVICE,
            trust=Trust(certificates_of(keys)) if keys else None,
        )
        register_own(self._registry, "csi-gateway", lambda: self._bus.connected)

    def not_ready(self) -> str:
        """Return why calls cannot be answered now, or an empty string."""
        return "" if self._bus.connected else "the bus is not connected"

    async def run(self) -> None:
        """Run it until a signal or a fault."""
        config, monitor = self._config, Monitor(self.not_ready)
        ports = (config.metrics_port, config.readiness_port)
        probes = {"/nats": self._nats_is_not_alive}
        async with (
            serve_http(monitor, self._registry, *ports, host=config.http_host, probes=probes),
            background(self._bus.run()),
            background(monitor.run(), stop_on_signal(signal.SIGTERM, signal.SIGINT)),
        ):
            await self._answer()

    def _nats_is_not_alive(self) -> str:
        """Return why the node's own NATS server has to be started anew, or an empty string."""
        config = self._config
        why = silent(config.nats_url)
        return why or (outdated(config.leaf_monitor_port, config.bus_ca) if config.bus_ca else "")

    async def _answer(self) -> None:
        """Answer calls until cancelled, whether or not the bus is there yet: sidecars give up on a missing socket."""
        config = self._config
        async with bound_socket(config.socket_path) as listening:
            guards = services(config, self._bus, self._calls)
            await serve_csi(listening, guards, self._calls, config.drain_seconds)


def main() -> None:
    """Console script ``directpv-csi-gateway``; status 1 when it cannot start or fails."""
    configure_logging()
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-csi-gateway")
    errors: list[BaseException] = []
    try:
        with traced("csi-gateway"):
            run(lambda: Gateway(config).run())
    except* (DirectPVError, OSError) as group:
        errors.extend(leaves(group))
    for error in errors:
        log.error("cannot run: %s", error)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
