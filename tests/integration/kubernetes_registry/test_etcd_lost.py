"""etcd is lost, and nothing else: agents, gateways and drives are real, and so is the API server over a new etcd."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.local.csi_client import creation
from directpv_cli.local.stack import Stack
from directpv_common.crd.persistent_volumes import Claim, pv_object
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from integration.kubernetes_registry.harness import DRIVES, VOLUMES, Objects, define
from support import cluster as stacks
from support.kube.apiserver import ApiServer
from support.kube.binder import binder
from support.kube.fixtures import api_server
from support.mounts import own_mounts  # noqa: F401 - a fixture

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
SPACE, OURS = "shop", "directpv"
PVS, CLAIMS = "/api/v1/persistentvolumes", f"/api/v1/namespaces/{SPACE}/persistentvolumeclaims"
KEPT = m.KeptPv(storage_class="fast", reclaim_policy="Delete", access_modes=("ReadWriteOnce",), fs_type="xfs")
PLUGIN = Path(sys.executable).parent / "kubectl-directpv"
POD = "csi.storage.k8s.io/pod."


def installed(server: ApiServer) -> Objects:
    """Give an API server that is empty what the installer gives it, as far as a controller needs it."""
    define(server)
    objects = Objects(server)
    objects.call("POST", "/api/v1/namespaces", {"metadata": {"name": OURS}})
    return objects


def wiped(server: ApiServer) -> None:
    """Lose all that etcd has, and start both anew."""
    server.close()
    shutil.rmtree(server.directory / "etcd")
    server.start()


class World:
    """A stack whose registry is in an API server, with the pods ``web-0`` and ``web-1`` of a StatefulSet."""

    def __init__(self, running: stacks.Cluster, server: ApiServer, objects: Objects) -> None:
        self.running, self.server, self.objects = running, server, objects

    async def pod(self, number: int) -> str:
        """Make claim, volume and PersistentVolume as Kubernetes does, and let a pod write; return the volume's name."""
        name, claim = f"pvc-web-{number}", Claim(SPACE, f"data-web-{number}")
        asked = creation(name, 32 * MIB)
        asked.parameters.update({names.PVC_NAME: claim.name, names.PVC_NAMESPACE: claim.namespace})
        async with self.running.csi() as client:
            volume = (await client.controller.CreateVolume(asked)).volume
            fsuuid = volume.volume_context[names.DRIVE]
            record = m.VolumeRecord(name=name, fsuuid=fsuuid, capacity=volume.capacity_bytes)
            topology = dict(volume.accessible_topology[0].segments)
            self.objects.call(
                "POST", PVS, pv_object(record, topology, KEPT, {"kind": "PersistentVolumeClaim", **claim._asdict()})
            )
            about = {"name": f"web-{number}", "namespace": SPACE, "uid": f"uid-{number}"}
            volume.volume_context.update({f"{POD}{key}": value for key, value in about.items()})
            pod = stacks.Pod(client, volume, self.running.stack.directory / "pods")
            await pod.stage()
            await pod.publish()
            (Path(pod.target) / "data").write_text(f"of {name}")
        return name

    async def remembered(self, name: str) -> None:
        (found,) = Path(self.running.stack.nodes[0].root, "mnt").glob(f"*/.directpv/volumes/{name}.json")
        record = json.loads(found.read_text())
        assert (record.get("pv") or {}).get("storage_class") == KEPT.storage_class
        assert record.get("pvc_name"), "and whose it is"

    async def lists(self, drives: int, volumes: int) -> None:
        assert (len(self.objects.all(DRIVES)), len(self.objects.all(VOLUMES))) == (drives, volumes)

    async def plugin(self, *argv: str) -> tuple[int, str, str]:
        """Run the plugin as an administrator of both does; return status, output, and what it says."""
        stack = self.running.stack
        command = [PLUGIN, "--nats-url", stack.nats_url, "--kubeconfig", self.server.admin, *argv]
        env = {**os.environ, "DIRECTPV_STATE_DIR": str(stack.directory)}
        ended = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, timeout=180, check=False
        )
        return ended.returncode, ended.stdout, ended.stderr

    async def recover(self, *argv: str) -> dict[str, str]:
        """Return the actions by kind and name."""
        status, out, said = await self.plugin("recover", "-o", "json", *argv)
        assert status == 0, out + said
        return {f"{row['kind']} {row['name']}": row["action"] for row in json.loads(out)}

    async def serves(self, name: str) -> None:
        """Stage and publish a volume for a new pod, by what its PersistentVolume says alone; its data is there."""
        source = self.objects.call("GET", f"{PVS}/{name}")["spec"]["csi"]
        volume = csi.Volume(volume_id=source["volumeHandle"], volume_context=source["volumeAttributes"])
        async with self.running.csi() as client:
            pod = stacks.Pod(client, volume, self.running.stack.directory / "again")
            await pod.stage()
            await pod.publish()
            assert (Path(pod.target) / "data").read_text() == f"of {name}"
            await pod.unpublish()
            await pod.unstage()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as alone:
        yield alone


@pytest.fixture
async def world(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    usual = Stack._command
    config = server.directory / "kubeconfig"

    def command(self: Stack, name: str) -> tuple[list[str], dict[str, str]]:
        argv, env = usual(self, name)
        ours = {"DIRECTPV_REGISTRY": "kubernetes", "DIRECTPV_KUBECONFIG": str(config), "DIRECTPV_NAMESPACE": OURS}
        return argv, {**env, **ours} if name.startswith("controller") else env

    monkeypatch.setattr(Stack, "_command", command)
    config.write_bytes(server.admin.read_bytes())
    objects = installed(server)
    with stacks.cluster(nodes=1, drives=2) as running:
        await running.initialise()
        yield World(running, server, objects)


async def test_after_etcd_was_lost_claims_are_bound_again_and_pods_find_their_data(world: World) -> None:
    running, server = world.running, world.server
    pods = [await world.pod(number) for number in range(2)]
    for name in pods:
        await stacks.eventually(lambda name=name: world.remembered(name), "the drive remembers its PersistentVolume")  # type: ignore[misc]
    before = world.objects.all(VOLUMES)

    running.kill("controller-1")
    await asyncio.to_thread(wiped, server)
    world.objects = installed(server)
    assert world.objects.all(PVS) == {}
    running.start("controller-1")
    await stacks.eventually(lambda: world.lists(2, 2), "the registry is filled from the drives")
    after = world.objects.all(VOLUMES)
    for name in pods:
        assert after[name]["status"]["totalCapacity"] == before[name]["status"]["totalCapacity"]
        assert after[name]["status"]["fsuuid"] == before[name]["status"]["fsuuid"]

    planned = await world.recover("--dry-run")
    assert {planned[f"PersistentVolume {name}"] for name in pods} == {"create"}
    assert world.objects.all(PVS) == {}, "a dry run makes nothing"
    with binder(server):
        assert await world.recover() == planned
        await stacks.eventually(lambda: bound(world, 2), "claims are bound")
    assert set((await world.recover()).values()) == {"exists"}
    for name in pods:
        await world.serves(name)
    status, out, said = await world.plugin("status")
    assert status == 0, out + said


async def bound(world: World, count: int) -> None:
    claims = world.objects.all(CLAIMS)
    assert {name: claim["status"]["phase"] for name, claim in claims.items()} == {
        f"data-web-{number}": "Bound" for number in range(count)
    }
    assert [claims[f"data-web-{number}"]["spec"]["volumeName"] for number in range(count)] == [
        f"pvc-web-{number}" for number in range(count)
    ]
    phases = [pv["status"]["phase"] for pv in world.objects.all(PVS).values()]
    assert phases == ["Bound"] * count
    policies: list[Any] = [pv["spec"]["persistentVolumeReclaimPolicy"] for pv in world.objects.all(PVS).values()]
    assert policies == [KEPT.reclaim_policy] * count
