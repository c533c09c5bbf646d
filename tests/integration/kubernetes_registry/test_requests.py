"""Upstream's plugin works against us: discover by DirectPVNode, init by DirectPVInitRequest."""

import contextlib
import uuid
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.crd import data_path
from directpv_common.protocol.api import Node
from directpv_common.protocol.units import MIB
from integration.controller.harness import until
from integration.controller.node import GIB, PlayedNode
from integration.kubernetes_registry.harness import DRIVES, NODES, REQUESTS, VOLUMES, Cluster, create, leads
from integration.nodeagent.harness import AgentProcess, Loops, scratch
from support.nats import NatsServer
from support.node_client import Client

pytestmark = pytest.mark.timeout(180)


def asks(name: str) -> dict[str, Any]:
    """What upstream's plugin makes for a node that it does not find."""
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVNode",
        "metadata": {"name": name, "labels": {"directpv.min.io/node": name}},
        "spec": {"refresh": True},
        "status": {"devices": []},
    }


def init(node: str, *devices: dict[str, Any]) -> dict[str, Any]:
    """What upstream's plugin makes of drives.yaml."""
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVInitRequest",
        "metadata": {
            "name": str(uuid.uuid4()),
            "labels": {
                "directpv.min.io/node": node,
                "directpv.min.io/request-id": str(uuid.uuid4()),
                "directpv.min.io/version": "v1beta1",
                "directpv.min.io/created-by": "node-controller",
            },
        },
        "spec": {"devices": [{"id": d["id"], "name": d["name"], "force": d.get("fsType", "") != ""} for d in devices]},
        "status": {"status": "Pending", "results": []},
    }


async def discovered(cluster: Cluster, node: str) -> list[dict[str, Any]]:
    cluster.objects.call("POST", NODES, asks(node))
    await until(lambda: cluster.objects.all(NODES)[node]["spec"]["refresh"] is False, "the node is refreshed")
    devices: list[dict[str, Any]] = cluster.objects.all(NODES)[node]["status"]["devices"]
    return devices


async def answered(cluster: Cluster, request: dict[str, Any]) -> dict[str, Any]:
    """Make the request, and return its status once it is worked on."""
    name = cluster.objects.call("POST", REQUESTS, request)["metadata"]["name"]
    await until(lambda: cluster.objects.all(REQUESTS)[name]["status"]["status"] != "Pending", "it is answered", 60)
    status: dict[str, Any] = cluster.objects.all(REQUESTS)[name]["status"]
    return status


async def test_devices_are_shown_and_formatted(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    free = m.Device(name="sdb", id="8:16$x", major_minor="8:16", size=10 * GIB, make="ACME")
    used = m.Device(name="sda", id="8:0$x", major_minor="8:0", size=GIB, denied=("Mounted", "Partitioned"))
    node.devices = {device.name: device for device in (free, used)}
    await leads(cluster.controller())
    async with node.running(bus):
        shown = await discovered(cluster, "n1")
        assert shown == [
            {"name": "sdb", "id": "8:16$x", "majorMinor": "8:16", "size": 10 * GIB, "make": "ACME"},
            {
                "name": "sda",
                "id": "8:0$x",
                "majorMinor": "8:0",
                "size": GIB,
                "deniedReason": "Mounted; Partitioned",
            },
        ]
        status = await answered(cluster, init("n1", shown[0]))
        assert status == {"status": "Processed", "results": [{"name": "sdb"}]}
        assert [obj["metadata"]["labels"]["directpv.min.io/drive-name"] for obj in cluster.objects.all(DRIVES).values()]
        cluster.objects.change(NODES, "n1", lambda obj: obj["spec"].update(refresh=True))
        await until(lambda: not cluster.objects.all(NODES)["n1"]["spec"]["refresh"], "it is refreshed again")


async def test_a_request_that_cannot_be_done_says_why(cluster: Cluster, bus: Bus) -> None:
    await leads(cluster.controller())
    node = PlayedNode("n1")
    async with node.running(bus):
        status = await answered(cluster, init("n1", {"id": "no dollar", "name": "sdb"}))
        assert status["status"] == "Error"
        assert "sdb" in status["results"][0]["error"]
        status = await answered(cluster, init("n2", {"id": "8:16$x", "name": "sdb"}))
        assert status["status"] == "Error"
        assert "n2" in status["results"][0]["error"]
    assert node.formats == []


async def test_requests_can_be_switched_off(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.devices = {"sdb": m.Device(name="sdb", id="8:16$x", major_minor="8:16", size=GIB)}
    await leads(cluster.controller(init_requests="off"))
    async with node.running(bus):
        request = init("n1", {"id": "8:16$x", "name": "sdb"})
        cluster.objects.call("POST", REQUESTS, request)
        await discovered(cluster, "n1")
        assert cluster.objects.all(REQUESTS)[request["metadata"]["name"]]["status"]["status"] == "Pending"
    assert node.formats == []


async def test_a_real_agent_is_discovered_formatted_and_shown(cluster: Cluster, nats: NatsServer, bus: Bus) -> None:
    with scratch() as base, contextlib.closing(Loops(base)) as loops:
        agent = AgentProcess(base, nats.port)
        with contextlib.closing(agent):
            device = loops.make()
            agent.start(device)
            await leads(cluster.controller())
            client = Client(bus, "n1")
            await client.ask(Node.NODE_GET, m.Empty())
            shown = await discovered(cluster, "n1")
            assert [each["name"] for each in shown] == [device]
            assert (await answered(cluster, init("n1", shown[0])))["results"] == [{"name": device}]
            (drive,) = cluster.objects.all(DRIVES).values()
            assert drive["metadata"]["labels"]["directpv.min.io/drive-name"] == device

            info = await create(bus, "pvc-1", 8 * MIB)
            staging, target = str(base / "staging"), str(base / "target")
            stage = m.StageVolume(
                name="pvc-1", staging_path=staging, fsuuid=info.record.fsuuid, capacity=info.record.capacity
            )
            await client.ask(Node.VOLUME_STAGE, stage)
            publish = m.PublishVolume(
                name="pvc-1", staging_path=staging, target_path=target, pod_name="web-0", pod_namespace="shop"
            )
            await client.ask(Node.VOLUME_PUBLISH, publish)

            def status() -> dict[str, Any]:
                found: dict[str, Any] = cluster.objects.all(VOLUMES)["pvc-1"]["status"]
                return found

            await until(lambda: status()["targetPath"] == target, "the object shows where it is published")
            assert (status()["stagingTargetPath"], status()["status"]) == (staging, "Ready")
            pod_name = "directpv.min.io/pod.name"
            labels = lambda: cluster.objects.all(VOLUMES)["pvc-1"]["metadata"]["labels"]  # noqa: E731
            await until(lambda: labels().get(pod_name) == "web-0", "the object shows the pod, though it is gone")
            await client.ask(Node.VOLUME_UNPUBLISH, m.UnpublishVolume(name="pvc-1", target_path=target))
            await client.ask(Node.VOLUME_UNSTAGE, m.UnstageVolume(name="pvc-1", staging_path=staging))
            await until(lambda: status()["stagingTargetPath"] == "", "the object shows that it is not mounted")
            assert status()["dataPath"] == data_path(info.record)
            assert status()["status"] == "Ready", "upstream's cordon refuses drives with volumes that are Pending"
            assert cluster.wrong() == []
