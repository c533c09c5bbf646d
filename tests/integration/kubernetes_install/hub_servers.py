"""Servers of the hub and of a node, as they are configured when they are installed: only addresses are others."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from directpv_cli.install.objects import nats as installed
from directpv_common.access.installation import keys_of
from directpv_common.access.nkey import kept_key
from directpv_common.access.rendering import hub_settings
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus, node_inbox
from directpv_common.bus.greeting import silent
from directpv_common.bus.trust import Trust
from directpv_common.process.lifecycle import background
from directpv_common.protocol.names import BUS_CA_VOLUME, BUS_VOLUME, NODE_POD, SELECTOR
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.callout import Callout
from directpv_controller.admission.core.keys import NodeKeys
from support.ports import free_port

SERVER = Path(sys.executable).with_name("directpv-nats")
SECRET = "of a test, " * 8
NODE = "leaf"
SUBJECTS = Subjects("directpv.v1")
ASKED = SUBJECTS.node(NODE, "device", "list")
TOLD = SUBJECTS.state(NODE)


class Servers:
    """``count`` servers of the cluster, and one leaf."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory, self.count = directory, count
        self.ports = {key: free_port() for key in [*self._keys(), "monitor"]}
        self.secret, self.key = directory / "secret", directory / "keys" / "node.nkey"
        self.secret.write_text(SECRET)
        self.keys = keys_of(SECRET)
        self.authority = directory / "ca.crt"
        self.authority.write_text(self.keys.authority.certificate)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.former, self.leaf_in_clear = False, False

    def _keys(self) -> list[str]:
        kinds = ("client", "leaves", "route", "tls")
        return ["leaf", *(f"{kind}-{index}" for index in range(self.count) for kind in kinds)]

    def start(self, *, former: str = "") -> None:
        for index in range(self.count):
            self.start_hub(index, former=former)
        self.start_leaf(former=bool(former))

    def start_leaf(self, *, former: bool = False) -> None:
        """Start the node's server; ``former``: as of a version without TLS."""
        self.leaf_in_clear = former
        scheme, kind = ("nats-leaf", "leaves") if former else ("wss", "tls")
        urls = ", ".join(f'"{scheme}://127.0.0.1:{self.ports[f"{kind}-{index}"]}"' for index in range(self.count))
        config = installed.LEAF_CONFIG.replace("port: 4222", f"port: {self.ports['leaf']}")
        joining = [f"--bus-key={self.key}", f"--monitor-port={self.ports['monitor']}"]
        trusting = [] if former else [f"--bus-ca={self.authority}"]
        self._run("leaf", config, {"LEAF_URLS": f"[{urls}]"}, "--mode=leaf", *joining, *trusting)

    def start_hub(self, index: int, *, former: str = "") -> None:
        """Start a server; ``former``: as a version before has it, that ``asks nobody``, or that has ``no TLS``."""
        port = self.ports
        config = installed.server_config(self.count)
        config = config.replace("port: 4222", f"listen: 127.0.0.1:{port[f'client-{index}']}")
        config = config.replace("http_port: 8222\n", "")
        config = config.replace("port: 7422", f"listen: 127.0.0.1:{port[f'leaves-{index}']}")
        config = config.replace("/data", str(self.directory / f"data-{index}"))
        config = config.replace("port: 6222,", f"listen: 127.0.0.1:{port.get(f'route-{index}')},")
        for other in range(self.count):
            name = f"nats-{other}.nats-headless.directpv.svc:6222"
            config = config.replace(name, f"127.0.0.1:{port[f'route-{other}']}")
        if former == "no TLS":
            config = hub_settings(config, self.keys, SUBJECTS)
        others = [f"127.0.0.1:{port[f'client-{other}']}" for other in range(self.count) if other != index]
        known = [
            f"--bus-secret={self.secret}",
            f"--servers={','.join(others)}",
            f"--leaf-listen=127.0.0.1:{port[f'tls-{index}']}",
        ]
        self._run(f"nats-{index}", config, {}, "--mode=hub", *([] if former else known))

    def _run(self, name: str, config: str, env: dict[str, str], *arguments: str) -> None:
        path, run_dir = self.directory / f"{name}.conf", self.directory / f"run-{name}"
        path.write_text(config)
        run_dir.mkdir(exist_ok=True)
        log = (self.directory / f"{name}.log").open("ab")
        with log:
            self.running[name] = subprocess.Popen(
                [SERVER, f"--config={path}", f"--name={name}", f"--run-dir={run_dir}", *arguments],
                env={**os.environ, **env},
                stdout=log,
                stderr=log,
            )

    async def are_former(self) -> bool:
        """Tell what Kubernetes knows of the servers."""
        return self.former

    def freeze(self, name: str) -> None:
        """Let a server be as one whose machine lost its power: its connections stay, and nothing comes from them."""
        self.running[name].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.running[name].pid, os.WSTOPPED)

    def leaf_is_alive(self) -> bool:
        """Ask as the gateway of the same pod does for kubelet."""
        return not silent(f"nats://127.0.0.1:{self.ports['leaf']}")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)

    @contextlib.asynccontextmanager
    async def bus(self, key: str) -> AsyncIterator[Bus]:
        """Connect as a program of the node, or as a controller, and guard the bus as one does."""
        keys = [f"client-{index}" for index in range(self.count)] if key == "any" else [key]
        url = ",".join(f"nats://127.0.0.1:{self.ports[each]}" for each in keys)
        if key == "leaf":
            async with connect_bus(url, name="node", prefix=SUBJECTS.prefix, inbox=node_inbox(NODE)) as bus:
                yield bus
            return
        trust = Trust(self.keys.authority.certificate, former=self.are_former)
        controller = self.keys.controller
        async with (
            connect_bus(url, name="controller", prefix=SUBJECTS.prefix, nkey=controller, trust=trust) as bus,
            background((await guard(bus, self)).run()),
        ):
            yield bus


class Kubernetes:
    """Says about pods what it is asked here: whether that of the node is of a version without TLS."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def pods_at(self, address: str) -> list[dict[str, Any]]:
        volumes = [{"name": BUS_VOLUME}, *([] if self._servers.leaf_in_clear else [{"name": BUS_CA_VOLUME}])]
        return [{"metadata": {"labels": {SELECTOR: NODE_POD}}, "spec": {"nodeName": NODE, "volumes": volumes}}]

    async def node(self, name: str) -> dict[str, Any]:
        return {}


async def guard(bus: Bus, servers: Servers) -> Callout:
    """Let in the one node; nobody else comes."""
    known = NodeKeys()
    async with asyncio.timeout(20):
        while not servers.key.exists():
            await asyncio.sleep(0.05)
    known.put(NODE, kept_key(servers.key).public)
    kubernetes: Any = Kubernetes(servers)
    callout = Callout(
        kubernetes, known, SUBJECTS, [servers.keys.issuer], "directpv", lambda outcome, role, seconds: None
    )
    await bus.client.subscribe("$SYS.REQ.USER.AUTH", queue="q", cb=callout.heard)
    await bus.client.flush()
    return callout


@contextlib.asynccontextmanager
async def connected(servers: Servers, *keys: str) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(servers.bus(key))).client for key in keys]


async def tell(client: Client, to: Client, within: float = 20.0) -> None:
    """Say something until it is heard."""
    listening = await to.subscribe(TOLD)
    await to.flush()
    async with asyncio.timeout(within):
        while not listening.pending_msgs:
            await client.publish(TOLD, b"{}")
            await client.flush()
            await asyncio.sleep(0.1)
    await listening.unsubscribe()


async def answer(client: Client, subject: str, within: float = 20.0) -> bytes:
    """Ask until somebody answers: connections between servers come up one after another."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(nats.errors.Error):
                return (await client.request(subject, b"", timeout=1)).data
            await asyncio.sleep(0.1)


async def encrypted(servers: Servers) -> None:
    """Wait until all servers begin by TLS with who comes as a server."""
    context = ssl.create_default_context(cadata=servers.keys.authority.certificate)
    async with asyncio.timeout(60):
        for index in range(servers.count):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", servers.ports[f"route-{index}"], ssl=context)
                    writer.transport.abort()
                    break
                await asyncio.sleep(0.2)


async def serve(client: Client, subject: str) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"here")

    await client.subscribe(subject, cb=answer)
    await client.flush()
