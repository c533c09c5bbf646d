"""The configuration of NATS as it is installed, in real servers: only addresses are others here."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from directpv_cli.install.objects import nats as installed
from directpv_common.access.installation import keys_of
from directpv_common.access.nkey import kept_key
from directpv_common.access.rendering import hub_settings
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus, node_inbox
from directpv_common.bus.events import Events, ensure_stream
from directpv_common.bus.greeting import outdated, silent
from directpv_common.bus.trust import Trust
from directpv_common.process.lifecycle import background
from directpv_common.protocol.names import BUS_CA_VOLUME, BUS_VOLUME, NODE_POD, SELECTOR
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.callout import Callout
from directpv_controller.admission.core.keys import NodeKeys
from support.ports import free_port
from support.tls import files, new_authority

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


@pytest.fixture(params=[1, 3])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path, request.param)
    try:
        found.start()
        yield found
    finally:
        found.close()


@contextlib.asynccontextmanager
async def connected(servers: Servers, *keys: str) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(servers.bus(key))).client for key in keys]


async def _tell(client: Client, to: Client, within: float = 20.0) -> None:
    """Say something until it is heard."""
    listening = await to.subscribe(TOLD)
    await to.flush()
    async with asyncio.timeout(within):
        while not listening.pending_msgs:
            await client.publish(TOLD, b"{}")
            await client.flush()
            await asyncio.sleep(0.1)
    await listening.unsubscribe()


async def _answer(client: Client, subject: str, within: float = 20.0) -> bytes:
    """Ask until somebody answers: connections between servers come up one after another."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(nats.errors.Error):
                return (await client.request(subject, b"", timeout=1)).data
            await asyncio.sleep(0.1)


async def _speaks_tls(servers: Servers, index: int) -> bool:
    """Tell whether a server that is there begins by TLS with who comes as a server."""
    port = servers.ports[f"route-{index}"]
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.read(4) != b"INFO"
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.1)


async def _encrypted(servers: Servers) -> None:
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


async def _serve(client: Client, subject: str) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"here")

    await client.subscribe(subject, cb=answer)
    await client.flush()


async def test_node_and_controller_reach_each_other_through_the_nodes_own_server(servers: Servers) -> None:
    async with connected(servers, "leaf", f"client-{servers.count - 1}") as (node, controller):
        await _serve(node, ASKED)
        assert await _answer(controller, ASKED) == b"here"
        await _tell(node, controller)


async def test_events_of_a_node_are_kept_by_the_servers_behind(servers: Servers) -> None:
    async with servers.bus("leaf") as node, servers.bus("client-0") as bus:
        events = Events(node, NODE)
        running = asyncio.create_task(events.run())
        try:
            events.emit("drive", "ready", "d1")
            async with asyncio.timeout(30):
                while True:
                    info = await ensure_stream(bus)
                    if info is not None and info.state.messages:
                        break
                    await asyncio.sleep(0.2)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert info.state.messages == 1
        assert info.config.num_replicas == servers.count


async def test_programs_of_a_node_find_each_other_while_all_servers_behind_are_gone(servers: Servers) -> None:
    async with connected(servers, "leaf", "leaf") as (agent, gateway):
        await _serve(agent, ASKED)
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        assert await _answer(gateway, ASKED) == b"here"
        with pytest.raises(nats.errors.NoRespondersError):
            await gateway.request(SUBJECTS.node("other", "device", "list"), b"", timeout=5)


async def test_a_node_joins_again_when_the_servers_come_back(servers: Servers) -> None:
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await _serve(node, ASKED)
        await _answer(controller, ASKED)
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        for index in range(servers.count):
            servers.start_hub(index)
        assert await _answer(controller, ASKED) == b"here"


@pytest.mark.parametrize("servers", [3], indirect=True)
async def test_a_node_whose_server_fell_silent_goes_to_another_within_a_minute(servers: Servers) -> None:
    servers.kill("nats-2")
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await _serve(node, ASKED)
        await _answer(controller, ASKED)  # through one of the two
        servers.start_hub(2)
        async with connected(servers, "client-2") as (other,):
            await _answer(other, ASKED)
            servers.freeze("nats-0")
            servers.freeze("nats-1")
            assert await _answer(other, ASKED, within=60) == b"here"


@pytest.mark.parametrize("servers", [1], indirect=True)
async def test_a_nodes_server_that_hangs_is_not_alive_and_one_that_has_lost_the_others_is(servers: Servers) -> None:
    async with connected(servers, "leaf"):
        servers.kill("nats-0")
        assert servers.leaf_is_alive()
        servers.freeze("leaf")
        assert not servers.leaf_is_alive()
        servers.running["leaf"].send_signal(signal.SIGCONT)
        assert servers.leaf_is_alive()
        servers.kill("leaf")
        assert not servers.leaf_is_alive()


@pytest.mark.parametrize("servers", [1], indirect=True)
async def test_a_nodes_server_that_was_started_with_other_certificates_than_are_published_is_not_alive(
    servers: Servers,
) -> None:
    def why() -> str:
        return outdated(servers.ports["monitor"], str(servers.authority))

    async with connected(servers, "leaf"):
        assert why() == ""
        servers.authority.write_text(new_authority().certificate)
        assert "other certificates" in why()
        servers.kill("leaf")
        assert why() == ""
        servers.start_leaf()
        async with connected(servers, "leaf"):
            assert why() == ""


@pytest.mark.parametrize("servers", [3], indirect=True)
@pytest.mark.parametrize(
    ("shows", "told"),
    [("nothing", b""), ("no certificate", b""), ("another's certificate", b""), ("no password", b"Authorization")],
)
async def test_a_server_that_does_not_show_it_is_ours_is_no_part_of_the_hub(
    servers: Servers, tmp_path: Path, shows: str, told: bytes
) -> None:
    async with servers.bus("client-0"):
        await _encrypted(servers)
        context = None if shows == "nothing" else _as_server(servers, tmp_path / "own", shows)
        reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["route-0"], ssl=context)
        said = b""
        with contextlib.suppress(OSError):
            writer.write(
                b'CONNECT {"verbose":false,"pedantic":false,"name":"x","cluster":"directpv","headers":true}\r\nPING\r\n'
            )
            async with asyncio.timeout(20):
                said = await reader.read()
        writer.transport.abort()
    assert (b"Authorization" in said) is (told == b"Authorization")
    assert b"PONG" not in said


def _as_server(servers: Servers, folder: Path, shows: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=servers.keys.authority.certificate)
    if shows != "no certificate":
        own = files(folder, new_authority() if shows == "another's certificate" else servers.keys.authority)
        context.load_cert_chain(own.certificate, own.key)
    return context


@pytest.mark.timeout(180)
@pytest.mark.parametrize("former", ["asks nobody", "no TLS"])
async def test_while_servers_are_replaced_one_by_one_node_and_controller_find_each_other(
    tmp_path: Path, former: str
) -> None:
    servers = Servers(tmp_path, 3)
    servers.former = True
    try:
        servers.start(former=former)
        async with connected(servers, "leaf", "any") as (node, controller):
            await _serve(node, ASKED)
            assert await _answer(controller, ASKED) == b"here"
            for index in reversed(range(3)):
                servers.kill(f"nats-{index}")
                servers.start_hub(index)
                assert await _answer(controller, ASKED, within=60) == b"here"
                await _tell(node, controller, within=60)
                if index:
                    assert not await _speaks_tls(servers, index)
            servers.former = False
            await _encrypted(servers)
            assert await _answer(controller, ASKED, within=60) == b"here"
            servers.kill("leaf")
            servers.start_leaf()
            assert await _answer(controller, ASKED, within=60) == b"here"
    finally:
        servers.close()
