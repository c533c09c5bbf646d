"""Claims of a StatefulSet, asked for at once as external-provisioner does, through the real gateway and controller."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_csi_gateway.pb import csi_pb2 as pb
from integration.controller.harness import Controller, until
from integration.controller.node import GIB, PlayedNode
from integration.gateway.harness import END_SECONDS, Client, Gateway, client_of, serving
from support.nats import NatsServer

Start = Callable[..., Controller]
NODES = [f"n{number}" for number in range(4)]
SIZES = (10, 40, 90, 200)
"""GiB of the drives of each node: a rule that goes by space alone puts all claims of a pod onto the last one."""
CALL_SECONDS = 30


@pytest.fixture
async def client(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Client]:
    """The gateway that external-provisioner speaks to."""
    log, socket = tmp_path / "gateway.log", tmp_path / "csi.sock"
    settings = {"NATS_URL": nats.url, "CSI_SOCKET": str(socket), "MODE": "controller"}
    env = os.environ | {f"DIRECTPV_{name}": value for name, value in settings.items()}
    with log.open("wb") as target:
        process = subprocess.Popen([sys.executable, "-m", "directpv_csi_gateway"], env=env, stderr=target)
    try:
        async with client_of(await serving(Gateway(process, socket, log))) as connected:
            yield connected
    finally:
        process.kill()
        process.wait(END_SECONDS)


def claim(template: int, pod: int, near: list[str]) -> pb.CreateVolumeRequest:
    """One of the claims of ``rustfs-POD``, as the provisioner asks for it with --extra-create-metadata."""
    terms = [pb.Topology(segments={names.NODE: node}) for node in near]
    name = f"data-{template}-rustfs-{pod}"
    return pb.CreateVolumeRequest(
        name=f"pvc-{template}-{pod}",
        capacity_range=pb.CapacityRange(required_bytes=GIB),
        volume_capabilities=[
            pb.VolumeCapability(
                mount=pb.VolumeCapability.MountVolume(fs_type="xfs"),
                access_mode=pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER),
            )
        ],
        parameters={
            names.PVC_NAME: name,
            names.PVC_NAMESPACE: "store",
            "csi.storage.k8s.io/pv/name": f"pvc-{template}-{pod}",
        },
        accessibility_requirements=pb.TopologyRequirement(requisite=terms, preferred=terms),
    )


async def known(bus: Bus, wanted: int) -> bool:
    return len((await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=20)).drives) == wanted


@pytest.mark.parametrize("binding", ["WaitForFirstConsumer", "Immediate"])
@pytest.mark.parametrize("at_once", [True, False], ids=["all at once", "pod after pod"])
async def test_each_pod_of_four_by_four_gets_four_drives_of_its_own_whatever_their_sizes(
    bus: Bus, controllers: Start, client: Client, binding: str, at_once: bool
) -> None:
    controllers()
    nodes = [PlayedNode(name) for name in NODES]
    for node, size in itertools.product(nodes, SIZES):
        node.add_drive(total=size * GIB)
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node.running(bus))
        await until(lambda: known(bus, 16), "all drives are known")

        async def made(pod: int) -> set[str]:
            """Ask for the claims of a pod; return the drives that they got."""
            near = [NODES[pod]] if binding == "WaitForFirstConsumer" else NODES[pod:] + NODES[:pod]
            asked = (
                client.call("Controller/CreateVolume", claim(template, pod, near), timeout=CALL_SECONDS)
                for template in range(4)
            )
            replies = await asyncio.gather(*asked)
            return {reply.volume.volume_context[names.DRIVE] for reply in replies}

        if at_once:
            homes = await asyncio.gather(*map(made, range(4)))
        else:
            homes = [await made(pod) for pod in range(4)]

        assert [len(each) for each in homes] == [4] * 4, "each pod has four drives"
        assert len(set().union(*homes)) == 16, "and replicas share none while there are others"
