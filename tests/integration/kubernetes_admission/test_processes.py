"""Programs as their pods start them: a controller, its gateway, and a node's server beside them."""

import asyncio
import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_common.process.lifecycle import background
from directpv_common.protocol.names import BUS_CA_KEY, NODE_ACCOUNT
from directpv_nodeagent.serving.joining import joined
from integration.access.test_tls import Recorder
from integration.kubernetes_admission.test_authority import found
from integration.kubernetes_admission.test_joining import Pod
from integration.kubernetes_admission.world import World
from integration.kubernetes_registry.harness import define
from support.ports import free_port

SECONDS = 60


@pytest.mark.timeout(180)
async def test_a_controller_and_its_gateway_say_nothing_in_clear_and_a_node_comes_in_by_what_they_publish(
    world: World, tmp_path: Path
) -> None:
    define(world.server)
    secret = tmp_path / "secret"
    secret.write_text(world.secret)
    ports = {name: free_port() for name in ("controller", "csi-gateway")}
    async with Recorder(world.hub.port).listening() as recorder:
        common = [f"--nats-url=nats://127.0.0.1:{recorder.port}", f"--bus-secret={secret}", "--http-host=127.0.0.1"]
        kubernetes = [
            "--registry=kubernetes",
            f"--kubeconfig={world.server.admin}",
            f"--namespace={world.namespace}",
            "--lease-seconds=5",
        ]
        socket = f"--csi-socket={tmp_path / 'csi.sock'}"
        with (
            program(tmp_path, "controller", ports, *common, *kubernetes),
            program(tmp_path, "csi-gateway", ports, "--mode=controller", socket, *common),
        ):
            for port in ports.values():
                await until_ready(port)
            assert found(world) == {BUS_CA_KEY: world.keys.authority.certificate}
            world.authority.write_text(found(world)[BUS_CA_KEY])
            node = world.node("n1")
            pod = Pod(world, node, tmp_path / "pod")
            pod.token.write_text(world.token(NODE_ACCOUNT, world.pod(node)))
            with pod.running():
                async with background(pod.joining.run()), asyncio.timeout(SECONDS):
                    while not await joined(pod.monitor):
                        await asyncio.sleep(0.2)
    assert recorder.said
    assert b"CONNECT" not in recorder.said


@contextlib.contextmanager
def program(directory: Path, name: str, ports: dict[str, int], *arguments: str) -> Iterator[None]:
    command = [Path(sys.executable).with_name(f"directpv-{name}"), f"--metrics-port={ports[name]}", *arguments]
    with (directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


async def until_ready(port: int) -> None:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as reply:
                return bool(reply.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(ready):
            await asyncio.sleep(0.2)
