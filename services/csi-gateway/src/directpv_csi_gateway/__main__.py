"""Composition root of the CSI gateway: everything is built here, once."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from directpv_common.bus import Bus, connect_bus
from directpv_common.config import load
from directpv_common.errors import DirectPVError
from directpv_common.lifecycle import run, stop_on_signal
from directpv_common.logs import configure_logging
from directpv_common.monitoring import Monitor, serve_http
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


def services(config: Config, bus: Bus, calls: Calls) -> Sequence[Guard]:
    """Return the services that ``config.mode`` asks for."""
    guards = [Guard(csi_grpc.IdentityBase.__mapping__, Identity(lambda: bus.connected).methods(), calls)]
    if config.mode is not Mode.NODE:
        guards.append(Guard(csi_grpc.ControllerBase.__mapping__, Controller(bus).methods(), calls))
    if config.mode is not Mode.CONTROLLER:
        guards.append(Guard(csi_grpc.NodeBase.__mapping__, Node(bus, config.node_name).methods(), calls))
    return guards


async def serve(config: Config) -> None:
    """Build the gateway from ``config`` and run it until a signal or a fault."""
    registry = CollectorRegistry()
    calls = Calls(registry)
    async with AsyncExitStack() as resources:  # opened first, closed last
        name = f"directpv-csi-gateway {config.node_name}".strip()
        bus = await resources.enter_async_context(
            connect_bus(config.nats_url, name=name, prefix=config.subject_prefix, within=config.connect_seconds)
        )
        monitor = Monitor(lambda: "" if bus.connected else "the bus is not connected")
        ports = (config.metrics_port, config.readiness_port)
        await resources.enter_async_context(serve_http(monitor, registry, *ports, host=config.http_host))
        listening = await resources.enter_async_context(bound_socket(config.socket_path))
        guards = services(config, bus, calls)
        async with asyncio.TaskGroup() as tasks:  # activities: all end before a resource closes
            tasks.create_task(monitor.run(), name="monitor")
            tasks.create_task(serve_csi(listening, guards, calls, config.drain_seconds), name="csi")
            tasks.create_task(stop_on_signal(signal.SIGTERM, signal.SIGINT), name="signals")


def main() -> None:
    """Console script ``directpv-csi-gateway``; status 1 when it cannot start or fails."""
    configure_logging()
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-csi-gateway")
    try:
        run(lambda: serve(config))
    except (DirectPVError, OSError) as error:
        log.error("cannot run: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
