"""What the agent does so that its node's server is let in, and what it says while that is refused."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from directpv_cli.install.objects.nats import LEAF_CONFIG
from directpv_common.bus.connecting import connect_bus, node_inbox
from directpv_common.process.lifecycle import background
from directpv_common.protocol.names import NODE_ACCOUNT
from directpv_nodeagent.config import Config
from directpv_nodeagent.serving.joining import Joining, joined
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World
from support.ports import free_port
from support.tls import new_authority

SECONDS = 60


class Pod:
    """A node's server as its pod starts it, and the agent's part beside it."""

    def __init__(self, world: World, node: str, directory: Path) -> None:
        directory.mkdir()
        self.port, self.monitor = free_port(), free_port()
        self.key, self.token = directory / "bus" / "node.nkey", directory / "token"
        self.log = directory / "nats.log"
        config = directory / "nats.conf"
        config.write_text(LEAF_CONFIG.replace("port: 4222", f"port: {self.port}"))
        self._command = [
            Path(sys.executable).with_name("directpv-nats"),
            "--mode=leaf",
            f"--name={node}",
            f"--config={config}",
            f"--bus-key={self.key}",
            f"--run-dir={directory}",
            f"--monitor-port={self.monitor}",
            f"--bus-ca={world.authority}",
        ]
        self._env = {**os.environ, "LEAF_URLS": f'["{world.secured.leaf_url}"]'}
        self.joining = Joining(
            Config(
                node_name=node,
                bus_key=str(self.key),
                bus_token=str(self.token),
                hub_url=world.hub.url,
                bus_ca=str(world.authority),
                leaf_monitor_port=self.monitor,
            )
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait(10)


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {SECONDS} s: {what}") from None


async def test_a_node_joins_by_itself_and_its_next_pod_after_it_lost_its_key(world: World, tmp_path: Path) -> None:
    node = world.node("n1.example")
    pod = Pod(world, node, tmp_path / "pod")
    url = f"nats://127.0.0.1:{pod.port}"
    async with world.controller() as controller, background(pod.joining.run()):
        for _ in range(2):
            pod.token.write_text(world.token(NODE_ACCOUNT, world.pod(node)))
            with pod.running():
                async with connect_bus(url, name="a", prefix=SUBJECTS.prefix, inbox=node_inbox(node)) as agent:
                    assert await heard_by(controller, agent, SUBJECTS.state(node))
                    assert await joined(pod.monitor)
                    await until(lambda: not pod.joining.problem, "nothing is wrong")
            pod.key.unlink()
        assert len(world.registered()) == 1


@pytest.mark.parametrize(
    ("what", "says"),
    [("no token", "cannot be read"), ("an empty one", "is empty"), ("another one", "does not accept")],
)
async def test_a_node_that_cannot_show_who_it_is_says_why_and_joins_when_it_can(
    world: World, tmp_path: Path, what: str, says: str
) -> None:
    node = world.node("n1")
    pod = Pod(world, node, tmp_path / "pod")
    if what != "no token":
        pod.token.write_text("" if what == "an empty one" else "not.a.token")
    async with world.controller() as controller, background(pod.joining.run()):
        with pod.running():
            await until(lambda: says in pod.joining.problem, says)
            assert "does not let this node in" in pod.joining.problem
            pod.token.write_text(world.token(NODE_ACCOUNT, world.pod(node)))
            url = f"nats://127.0.0.1:{pod.port}"
            async with connect_bus(url, name="a", prefix=SUBJECTS.prefix, inbox=node_inbox(node)) as agent:
                assert await heard_by(controller, agent, SUBJECTS.state(node), within=SECONDS)
            await until(lambda: not pod.joining.problem, "it has no problem any more")


async def test_servers_that_cannot_be_reached_are_no_reason_to_be_not_ready(world: World, tmp_path: Path) -> None:
    node = world.node("n1")
    pod = Pod(world, node, tmp_path / "pod")
    pod.token.write_text(world.token(NODE_ACCOUNT, world.pod(node)))
    world.hub.kill()
    with pod.running():
        async with background(pod.joining.run()):
            await until(pod.key.exists, "the key is made")
            async with connect_bus(f"nats://127.0.0.1:{pod.port}", name="a", prefix=SUBJECTS.prefix) as agent:
                assert agent.connected
            assert await joined(pod.monitor) is False
            assert pod.joining.problem == ""


async def test_a_node_that_finds_servers_of_another_authority_says_so_and_joins_when_they_are_its_own(
    world: World, tmp_path: Path
) -> None:
    node = world.node("n1")
    own = world.authority.read_text()
    world.authority.write_text(new_authority().certificate)
    pod = Pod(world, node, tmp_path / "pod")
    pod.token.write_text(world.token(NODE_ACCOUNT, world.pod(node)))
    async with world.controller() as controller, background(pod.joining.run()):
        with pod.running():
            await until(lambda: "not this installation's authority" in pod.joining.problem, "it says why")
            assert world.registered() == {}
        world.authority.write_text(own)
        with pod.running():
            url = f"nats://127.0.0.1:{pod.port}"
            async with connect_bus(url, name="a", prefix=SUBJECTS.prefix, inbox=node_inbox(node)) as agent:
                assert await heard_by(controller, agent, SUBJECTS.state(node), within=SECONDS)
