"""What `recover` makes of what drives remember is taken by a real API server, and bound by Kubernetes itself."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.objects import POLICY
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.names import DRIVER_NAME
from integration.controller.harness import until
from integration.controller.node import PlayedDrive, PlayedNode
from integration.kubernetes_registry.harness import GIB, VOLUMES, Cluster, drives, leads, volumes
from support import forked
from support.kube.apiserver import ApiServer
from support.kube.binder import binder

pytestmark = pytest.mark.timeout(240)
PVS, CLASSES = "/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/storageclasses"
ONE = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
KEPT = m.KeptPv(storage_class="fast", reclaim_policy="Delete", access_modes=("ReadWriteOncePod",), fs_type="xfs")
PLUGIN = Path(sys.executable).parent / "kubectl-directpv"


@pytest.fixture(scope="module")
def bound(defined: ApiServer) -> Iterator[ApiServer]:
    """The API server, with the part of Kubernetes that binds claims."""
    with binder(defined):
        yield defined


class World:
    """A cluster whose node has a drive that remembers three volumes, and which has no objects for them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.objects, self.space = cluster, cluster.objects, f"{cluster.namespace}-shop"
        self.names = [f"pvc-{cluster.namespace}-{number}" for number in range(3)]
        self.nodes = [PlayedNode("n1"), PlayedNode("n2")]
        self.nodes[0].add_drive(fsuuid=ONE)

    def remember(self, *records: m.VolumeRecord) -> None:
        self.nodes[0].drives[ONE].volumes.update({record.name: record for record in records})

    def record(self, number: int, **facts: Any) -> m.VolumeRecord:
        claim = {"pvc_namespace": self.space, "pvc_name": f"data-web-{number}", "pv": KEPT}
        return m.VolumeRecord(name=self.names[number], fsuuid=ONE, capacity=GIB, incarnation="ab", **{**claim, **facts})

    @property
    def claims(self) -> str:
        return f"/api/v1/namespaces/{self.space}/persistentvolumeclaims"

    def claim(self, number: int, **spec: Any) -> None:
        """Make a claim as a StatefulSet does."""
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"data-web-{number}"}}
        self.objects.call("POST", self.claims, {**body, "spec": asked})

    def phase(self, number: int) -> str:
        found = self.objects.find(self.claims, f"data-web-{number}") or {}
        return str((found.get("status") or {}).get("phase", ""))

    def pv(self, number: int) -> dict[str, Any]:
        return self.objects.call("GET", f"{PVS}/{self.names[number]}")

    def command(self, *argv: str, kubeconfig: Path | None = None, verb: str = "recover") -> list[str | Path]:
        config = kubeconfig or self.cluster.server.admin
        return [PLUGIN, "--nats-url", self.cluster.nats.url, "--kubeconfig", config, verb, "-o", "json", *argv]

    async def killed(self, when: Callable[[], bool]) -> None:
        """Run the verb, and kill it as soon as ``when()``, or when it has ended by itself."""
        process = await asyncio.create_subprocess_exec(*self.command(), stdout=subprocess.DEVNULL)
        try:
            await until(lambda: when() or process.returncode is not None, "it has come so far")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def recover(self, *argv: str, status: int = 0, kubeconfig: Path | None = None) -> tuple[dict[str, str], str]:
        """Run the verb; return the actions by kind and name, and what it says."""
        command = self.command(*argv, kubeconfig=kubeconfig)
        ended = await asyncio.to_thread(
            forked.run, "kubectl-directpv", *map(str, command[1:]), env=os.environ, within=180
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        rows = json.loads(ended.stdout or "[]")
        return {f"{row['kind']} {row['name']}": row["action"] for row in rows}, ended.stdout + ended.stderr

    def clear(self) -> None:
        for name in self.names:
            if self.objects.find(PVS, name):
                self.objects.erase(PVS, name)
        for name in self.objects.all(self.claims):
            self.objects.erase(self.claims, name)


@pytest.fixture
async def world(bound: ApiServer, cluster: Cluster, bus: Bus) -> AsyncIterator[World]:
    world = World(cluster)
    try:
        async with world.nodes[0].running(bus), world.nodes[1].running(bus):
            yield world
    finally:
        world.clear()


async def known(world: World, bus: Bus, count: int = 1) -> None:
    await leads(world.cluster.controller())

    async def there() -> bool:
        return len(await volumes(bus)) == count

    await until(there, "the registry is filled from the drive")


def node_of(pv: dict[str, Any]) -> str:
    (term,) = pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return next(str(each["values"][0]) for each in term["matchExpressions"] if each["key"] == names.NODE)


async def test_after_the_loss_of_etcd_claims_are_bound_to_the_volumes_that_the_drives_remember(
    world: World, bus: Bus
) -> None:
    world.remember(world.record(0), world.record(1, pv=None), world.record(2, pvc_name="", pvc_namespace=""))
    await known(world, bus, 3)
    planned, said = await world.recover("--dry-run", status=1)
    assert (planned[f"PersistentVolume {world.names[0]}"], planned[f"Namespace {world.space}"]) == ("create", "create")
    assert "no claim is remembered" in said
    assert world.objects.find(PVS, world.names[0]) is None, "a dry run makes nothing"
    assert world.objects.find("/api/v1/namespaces", world.space) is None

    cleaned = await asyncio.to_thread(
        subprocess.run, world.command("--all", verb="clean"), capture_output=True, text=True, timeout=120, check=False
    )
    assert (cleaned.returncode, typeable("kubectl directpv recover") in cleaned.stderr) == (1, True), cleaned.stderr
    assert len(await volumes(bus)) == 3, "what is to be recovered is not cleaned away"

    made, _ = await world.recover(status=1)
    assert made == planned
    assert [world.phase(number) for number in range(3)] == ["Bound", "Bound", ""]
    first, second = world.pv(0), world.pv(1)
    assert (first["spec"]["persistentVolumeReclaimPolicy"], POLICY in first["metadata"].get("annotations", {})) == (
        "Delete",
        False,
    )
    assert (first["spec"]["storageClassName"], first["spec"]["accessModes"]) == ("fast", ["ReadWriteOncePod"])
    assert (first["spec"]["csi"]["driver"], first["spec"]["csi"]["volumeHandle"]) == (DRIVER_NAME, world.names[0])
    assert (second["spec"]["persistentVolumeReclaimPolicy"], second["spec"]["storageClassName"]) == (
        "Retain",
        DRIVER_NAME,
    )
    assert node_of(first) == "n1"

    named, _ = await world.recover("--claim", f"{world.names[2]}={world.space}/data-web-2")
    assert named[f"PersistentVolumeClaim {world.space}/data-web-2"] == "create"
    assert world.phase(2) == "Bound"
    versions = [world.pv(number)["metadata"]["resourceVersion"] for number in range(3)]
    again, said = await world.recover()
    assert set(again.values()) == {"exists"}
    assert "nothing to recover" in said
    assert [world.pv(number)["metadata"]["resourceVersion"] for number in range(3)] == versions


async def test_a_stateful_set_that_was_faster_gets_its_volumes_if_its_claims_wait_and_is_told_if_they_do_not(
    world: World, bus: Bus
) -> None:
    world.objects.call("POST", "/api/v1/namespaces", {"metadata": {"name": world.space}})
    body = {"metadata": {"name": world.space}, "provisioner": "nobody", "volumeBindingMode": "WaitForFirstConsumer"}
    world.objects.call("POST", CLASSES, body)
    try:
        world.claim(0, storageClassName=world.space)
        world.claim(1, storageClassName=world.space, volumeName="pvc-another")
        world.remember(world.record(0), world.record(1))
        await known(world, bus, 2)
        made, said = await world.recover(status=1)
        assert made[f"PersistentVolumeClaim {world.space}/data-web-0"] == "exists"
        assert (world.phase(0), world.phase(1)) == ("Bound", "Pending")
        assert world.pv(0)["spec"]["storageClassName"] == world.space
        assert made[f"PersistentVolume {world.names[1]}"] == "conflict"
        assert "is bound to pvc-another" in said
        assert world.objects.find(PVS, world.names[1]) is None
    finally:
        world.objects.erase(CLASSES, world.space)


async def test_a_recovery_that_was_cut_short_is_ended_by_a_repeat(world: World, bus: Bus) -> None:
    world.remember(world.record(0))
    await known(world, bus)
    await world.recover()
    world.objects.erase(world.claims, "data-web-0")
    pv = world.pv(0)
    world.objects.erase(PVS, world.names[0])
    kept = {key: pv["spec"]["claimRef"][key] for key in ("apiVersion", "kind", "namespace", "name")}
    spec = {**pv["spec"], "claimRef": kept, "persistentVolumeReclaimPolicy": "Retain"}
    meta = {"name": world.names[0], "annotations": {POLICY: "Delete"}}
    world.objects.call("POST", PVS, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec})

    made, _ = await world.recover()
    assert made[f"PersistentVolumeClaim {world.space}/data-web-0"] == "create"
    after = world.pv(0)
    assert (world.phase(0), after["spec"]["persistentVolumeReclaimPolicy"]) == ("Bound", "Delete")
    assert POLICY not in after["metadata"].get("annotations", {})


async def test_disks_in_another_server_take_their_persistent_volumes_with_them(world: World, bus: Bus) -> None:
    world.remember(world.record(0))
    await known(world, bus)
    await world.recover()
    uid = world.objects.call("GET", f"{world.claims}/data-web-0")["metadata"]["uid"]
    await move(world, bus)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    world.objects.call("POST", f"/api/v1/namespaces/{world.space}/serviceaccounts", account)
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}
    pod = {
        "metadata": {"name": "web-0"},
        "spec": {
            "nodeName": "n1",
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "none"}],
            "volumes": [claim],
        },
    }
    pods = f"/api/v1/namespaces/{world.space}/pods"
    world.objects.call("POST", pods, pod)
    refused, said = await world.recover("n2", status=1)
    assert (refused[f"Drive n2/sdx {ONE}"], refused[f"PersistentVolume {world.names[0]}"]) == ("adopt", "conflict")
    assert "pod web-0 on n1 uses it" in said
    assert node_of(world.pv(0)) == "n1"
    shown = world.objects.call("GET", f"{VOLUMES}/{world.names[0]}")
    assert shown["metadata"]["labels"][names.NODE] == "n2", "upstream's tools see it there"

    world.objects.call("DELETE", f"{pods}/web-0", {"gracePeriodSeconds": 0})
    planned, _ = await world.recover("n2", "--dry-run")
    assert planned[f"PersistentVolume {world.names[0]}"] == "replace"
    assert node_of(world.pv(0)) == "n1"
    await world.recover("n2")
    after = world.pv(0)
    assert (node_of(after), after["spec"]["persistentVolumeReclaimPolicy"]) == ("n2", "Delete")
    assert after["spec"]["claimRef"]["uid"] == uid
    await until(lambda: world.phase(0) == "Bound", "the same claim is bound to it again")
    assert set((await world.recover("n2"))[0].values()) == {"exists"}
    assert world.cluster.wrong() == []


async def move(world: World, bus: Bus) -> None:
    """Put the disk of the first node into the second one."""
    first, second = world.nodes
    moved = first.drives.pop(ONE)
    second.foreign[ONE] = PlayedDrive(msgspec.structs.replace(moved.record, device="sdx"))
    second.foreign[ONE].volumes = moved.volumes

    async def lost() -> bool:
        return (await drives(bus))[ONE].record.status is m.DriveStatus.LOST

    await until(lost, "the disk is gone from its node")


async def test_a_recovery_that_is_killed_anywhere_is_ended_by_the_next(world: World, bus: Bus) -> None:
    world.remember(*map(world.record, range(3)))
    await known(world, bus, 3)
    for number in range(3):
        await world.killed(lambda number=number: world.objects.find(PVS, world.names[number]) is not None)  # type: ignore[misc]
    await world.recover()
    await complete(world, "n1")

    await move(world, bus)
    for number in range(3):
        await world.killed(lambda number=number: being_replaced(world, number))  # type: ignore[misc]
    await world.recover()
    await until(lambda: all(world.phase(number) == "Bound" for number in range(3)), "all claims are bound again")
    await complete(world, "n2")
    assert set((await world.recover())[0].values()) == {"exists"}


def being_replaced(world: World, number: int) -> bool:
    pv = world.objects.find(PVS, world.names[number])
    return pv is None or "deletionTimestamp" in pv["metadata"] or node_of(pv) == "n2"


async def complete(world: World, node: str) -> None:
    for number in range(3):
        pv = world.pv(number)
        assert (node_of(pv), world.phase(number), pv["spec"]["persistentVolumeReclaimPolicy"]) == (
            node,
            "Bound",
            "Delete",
        )
        assert POLICY not in pv["metadata"].get("annotations", {})


async def test_a_persistent_volume_that_is_gone_comes_back_to_the_claim_that_lost_it(world: World, bus: Bus) -> None:
    world.remember(world.record(0))
    await known(world, bus)
    await world.recover()
    world.objects.erase(PVS, world.names[0])
    await until(lambda: world.phase(0) == "Lost", "Kubernetes has noticed")
    await world.recover()
    assert world.phase(0) == "Bound"


async def test_without_rights_the_object_is_named_and_nothing_is_made(world: World, bus: Bus) -> None:
    world.remember(world.record(0))
    await known(world, bus)
    space = world.cluster.namespace
    nobody = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": space}}
    world.cluster.server.apply(nobody)
    _, said = await world.recover(status=1, kubeconfig=world.cluster.server.account(space, "nobody"))
    assert "PersistentVolume" in said
    assert "your kubeconfig's user may not do that" in said
    assert world.objects.find(PVS, world.names[0]) is None
