"""The configuration of NATS as it is installed, in real servers: only addresses are others here."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from directpv_cli.install.objects import nats as installed
from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events, ensure_stream
from directpv_common.bus.greeting import silent
from directpv_common.protocol.subjects import Subjects
from support.ports import free_port

SERVER = Path(sys.executable).with_name("nats-server")


class Servers:
    """``count`` servers of the cluster, and one leaf."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory, self.count = directory, count
        self.ports = {key: free_port() for key in self._keys()}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def _keys(self) -> list[str]:
        return ["leaf", *(f"{kind}-{index}" for index in range(self.count) for kind in ("client", "leaves", "route"))]

    def start(self) -> None:
        for index in range(self.count):
            self.start_hub(index)
        urls = ", ".join(f'"nats-leaf://127.0.0.1:{self.ports[f"leaves-{index}"]}"' for index in range(self.count))
        config = installed.LEAF_CONFIG.replace("port: 4222", f"port: {self.ports['leaf']}")
        self._run("leaf", config, {"LEAF_URLS": f"[{urls}]"})

    def start_hub(self, index: int) -> None:
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
        self._run(f"nats-{index}", config, {})

    def _run(self, name: str, config: str, env: dict[str, str]) -> None:
        path = self.directory / f"{name}.conf"
        path.write_text(config)
        log = (self.directory / f"{name}.log").open("ab")
        with log:
            self.running[name] = subprocess.Popen(
                [SERVER, f"--config={path}", f"--name={name}"], env={**os.environ, **env}, stdout=log, stderr=log
            )

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

    async def client(self, key: str) -> Client:
        url = f"nats://127.0.0.1:{self.ports[key]}"

        async def quiet(error: Exception) -> None:
            """Reconnects are expected."""

        return await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=quiet)


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
    clients: list[Client] = []
    try:
        for key in keys:
            client = await _patiently(servers, key)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            await client.close()


async def _patiently(servers: Servers, key: str) -> Client:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(nats.errors.Error, OSError):
                return await servers.client(key)
            await asyncio.sleep(0.1)


async def _answer(client: Client, subject: str, within: float = 20.0) -> bytes:
    """Ask until somebody answers: connections between servers come up one after another."""
    async with asyncio.timeout(within):
        while True:
            with contextlib.suppress(nats.errors.Error):
                return (await client.request(subject, b"", timeout=1)).data
            await asyncio.sleep(0.1)


async def _serve(client: Client, subject: str) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"here")

    await client.subscribe(subject, cb=answer)
    await client.flush()


async def test_node_and_controller_reach_each_other_through_the_nodes_own_server(servers: Servers) -> None:
    async with connected(servers, "leaf", f"client-{servers.count - 1}") as (node, controller):
        await _serve(node, "t.node.n1")
        await _serve(controller, "t.ctl.volume")
        assert await _answer(controller, "t.node.n1") == b"here"
        assert await _answer(node, "t.ctl.volume") == b"here"


async def test_events_of_a_node_are_kept_by_the_servers_behind(servers: Servers) -> None:
    async with connected(servers, "leaf", "client-0") as (node, controller):
        bus = Bus(node, Subjects("t.v1"))
        events = Events(bus, "n1")
        running = asyncio.create_task(events.run())
        try:
            events.emit("drive", "ready", "d1")
            async with asyncio.timeout(30):
                while True:
                    await ensure_stream(bus)
                    with contextlib.suppress(nats.errors.Error):
                        info = await controller.jetstream(timeout=2).stream_info(bus.subjects.stream)
                        if info.state.messages:
                            break
                    await asyncio.sleep(0.2)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert info.state.messages == 1
        assert info.config.num_replicas == servers.count


async def test_programs_of_a_node_find_each_other_while_all_servers_behind_are_gone(servers: Servers) -> None:
    async with connected(servers, "leaf", "leaf") as (agent, gateway):
        await _serve(agent, "t.node.n1")
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        assert await _answer(gateway, "t.node.n1") == b"here"
        with pytest.raises(nats.errors.NoRespondersError):
            await gateway.request("t.ctl.volume", b"", timeout=5)


async def test_a_node_joins_again_when_the_servers_come_back(servers: Servers) -> None:
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await _serve(node, "t.node.n1")
        await _answer(controller, "t.node.n1")
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        for index in range(servers.count):
            servers.start_hub(index)
        assert await _answer(controller, "t.node.n1") == b"here"


@pytest.mark.parametrize("servers", [3], indirect=True)
async def test_a_node_whose_server_fell_silent_goes_to_another_within_a_minute(servers: Servers) -> None:
    servers.kill("nats-2")
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await _serve(node, "t.node.n1")
        await _answer(controller, "t.node.n1")  # through one of the two
        servers.start_hub(2)
        async with connected(servers, "client-2") as (other,):
            await _answer(other, "t.node.n1")
            servers.freeze("nats-0")
            servers.freeze("nats-1")
            assert await _answer(other, "t.node.n1", within=60) == b"here"


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
