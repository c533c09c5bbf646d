"""Composition root of the controller: everything is built here, once."""

import asyncio
import contextlib
import functools
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from directpv_common.access.installation import Keys, certificates_of, read_keys
from directpv_common.access.nkey import key_of
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import KEY_ADVICE, SECRET_ADVICE, connect_bus
from directpv_common.bus.events import Events
from directpv_common.process.config import load
from directpv_common.process.lifecycle import background, leaves, run, stop_on_signal
from directpv_common.process.logs import configure_logging
from directpv_common.process.monitoring import Monitor, serve_http
from directpv_common.process.tracing import traced
from directpv_common.protocol.errors import DirectPVError
from directpv_controller.candidate import Candidate
from directpv_controller.config import KUBERNETES, Config
from directpv_controller.registry.port import OpenStore
from directpv_controller.registry.sqlite import registry as sqlite_registry
from directpv_controller.serving.metrics import Figures

if TYPE_CHECKING:
    from directpv_controller.registry.kubernetes.apiserver.client import Client

log = logging.getLogger(__name__)


def holder_name() -> str:
    """Return what identifies this process among all controllers, now and later; may be a queue group."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def store_of(config: Config, holder: str, figures: Figures) -> OpenStore:
    """Return what opens the registry that ``config`` names."""
    if config.registry != KUBERNETES:
        return functools.partial(
            sqlite_registry.open_store,
            Path(config.registry),
            holder=holder,
            ttl=config.lease_seconds,
            observe=figures.observe_commit,
        )
    from directpv_controller.registry.kubernetes import store  # its libraries take a fifth of a second to import

    options = store.KubernetesOptions(
        holder=holder,
        ttl=config.lease_seconds,
        namespace=config.namespace,
        kubeconfig=config.kubeconfig,
        init_requests=config.init_requests == "on",
    )
    return functools.partial(
        store.open_store,
        options,
        observe=figures.observe_commit,
        observe_call=figures.observe_call,
        count_conflict=figures.count_conflict,
    )


class Home:
    """What Kubernetes is asked about this installation's bus, by who has its keys."""

    def __init__(self, config: Config, client: "Client", keys: tuple[Keys, ...]) -> None:
        from directpv_controller.admission.authority import Published

        self._config, self._client, self._keys = config, client, keys
        self.published = Published(client, config.namespace, certificates_of(keys))

    @contextlib.asynccontextmanager
    async def guarding(self, bus: Bus, figures: Figures) -> AsyncIterator[None]:
        """Tell NATS who may come in."""
        from directpv_controller.admission import guard

        config, keys = self._config, self._keys
        warden = functools.partial(
            connect_bus,
            config.nats_url,
            name="directpv-controller, warden",
            prefix=config.subject_prefix,
            within=guard.WARDEN_SECONDS,
            nkey=keys[0].warden,
            advice=SECRET_ADVICE,
            trust=self.published.trust,
        )
        async with guard.guarding(
            bus, warden, self._client, keys, config.namespace, figures.count_admission, figures.count_cut
        ) as figures.guarding:
            yield


@contextlib.asynccontextmanager
async def at_home(config: Config, keys: tuple[Keys, ...], figures: Figures) -> AsyncIterator[Home | None]:
    """Tell nodes and people by whom NATS' servers are known, if this installation's keys are ours."""
    if not keys:
        yield None
        return
    from directpv_controller.registry.kubernetes.apiserver.access import access_of
    from directpv_controller.registry.kubernetes.apiserver.client import connect

    async with connect(access_of(config.kubeconfig), figures.observe_call) as client:
        home = Home(config, client, keys)
        async with background(home.published.run()):
            yield home


async def serve(config: Config) -> None:
    """Build the controller from ``config`` and run it until a signal or a fault."""
    holder = holder_name()
    figures = Figures()
    monitor = Monitor(figures.not_ready)
    open_store = store_of(config, holder, figures)
    keys = read_keys(config.bus_secret)
    async with (
        serve_http(monitor, figures.registry, config.metrics_port, host=config.http_host),
        background(monitor.run(), stop_on_signal(signal.SIGTERM, signal.SIGINT)),
        at_home(config, keys, figures) as home,
        connect_bus(
            config.nats_url,
            name="directpv-controller",
            prefix=config.subject_prefix,
            within=None,
            nkey=keys[0].controller if keys else key_of(config.nats_nkey),
            advice=SECRET_ADVICE if keys else KEY_ADVICE,
            trust=home.published.trust if home is not None else None,
        ) as bus,
    ):
        events = Events(bus, "controller")
        figures.bus, figures.events = bus, events
        candidate = Candidate(config, holder=holder, bus=bus, events=events, figures=figures, open_store=open_store)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, candidate.report)
        guarding = home.guarding(bus, figures) if home is not None else contextlib.nullcontext()
        async with guarding, background(events.run(), bus.require()):
            await candidate.run()


def main() -> None:
    """Console script ``directpv-controller``."""
    configure_logging()
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-controller")
    failures: list[str] = []
    try:
        with traced("controller"):
            run(lambda: serve(config))
    except* (DirectPVError, OSError) as group:
        failures.extend(str(error) for error in leaves(group))
    for failure in failures:
        log.critical("controller ends: %s", failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
