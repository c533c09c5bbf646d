"""migrate with a real API server that has objects of DirectCSI, as far as upstream's names for them are known."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.kubernetes_registry.harness import DRIVES, VOLUMES, Cluster, Objects, upstream_drive, upstream_volume
from support import forked
from support.kube.apiserver import ApiServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PVS, GROUP = "/api/v1/persistentvolumes", "direct.csi.min.io"
ONE, TWO = str(uuid.uuid4()), str(uuid.uuid4())
Made = Callable[[str, str, str, dict[str, Any]], None]


def definition(kind: str) -> dict[str, Any]:
    """A definition that two versions of DirectCSI have written, and which prunes nothing."""
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1beta5", "schema": schema}
        for name in ("v1beta3", "v1beta5")
    ]
    spec = {
        "group": GROUP,
        "scope": "Cluster",
        "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
        "versions": versions,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": spec,
    }


@pytest.fixture
def legacy(cluster: Cluster) -> Iterator[Made]:
    """Makes objects of DirectCSI, and takes them away with their definitions."""
    kinds, made = ("DirectCSIDrive", "DirectCSIVolume"), []
    for kind in kinds:
        cluster.server.apply(definition(kind))
    names = [f"{kind.lower()}s.{GROUP}" for kind in kinds]
    cluster.server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", *names)

    def make(kind: str, name: str, version: str, status: dict[str, Any]) -> None:
        path = f"/apis/{GROUP}/{version}/{kind.lower()}s"
        metadata = {"name": name, "finalizers": [f"{GROUP}/data-protection"]}
        item = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "status": status}
        cluster.objects.call("POST", path, item)
        made.append((path, name))

    try:
        yield make
    finally:
        for path, name in made:
            cluster.objects.erase(path, name)
        for name in names:
            cluster.objects.call("DELETE", f"{DEFINITIONS}/{name}")
        cluster.server.kubectl("wait", "--for=delete", "--timeout=30s", "crd", *names)


async def migrate(server: ApiServer, *words: str) -> tuple[int, dict[str, str], str]:
    """Run the verb; return its status, the state of each object by kind and name, and what it says."""
    command = ("kubectl-directpv", "--kubeconfig", str(server.admin), "migrate", "-o", "json", *words)
    done = await asyncio.to_thread(forked.run, *command, env=os.environ, within=60)
    rows = json.loads(done.stdout or "[]")
    return done.returncode, {f"{row['kind']} {row['name']}": row["state"] for row in rows}, done.stdout + done.stderr


def all_of(objects: Objects) -> dict[str, Any]:
    """Everything that the verb could change."""
    paths = [PVS, DRIVES, VOLUMES, *(f"/apis/{GROUP}/v1beta5/directcsi{each}s" for each in ("drive", "volume"))]
    return {path: objects.all(path) for path in paths}


async def test_a_cluster_without_objects_of_directcsi_has_nothing_to_migrate(cluster: Cluster) -> None:
    status, rows, said = await migrate(cluster.server)

    assert (status, rows) == (0, {}), said
    assert "Nothing to migrate: the cluster has no objects of DirectCSI" in said


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--retain",)])
async def test_what_v4_has_not_migrated_is_named_with_what_is_in_the_way_and_nothing_is_changed(
    cluster: Cluster, legacy: Made, words: tuple[str, ...]
) -> None:
    for drive in (ONE, TWO):
        status = {"driveStatus": "InUse", "filesystemUUID": drive.upper(), "path": "/dev/sdb"}
        legacy("DirectCSIDrive", f"drive-{drive[:8]}", "v1beta3", status)
    for name in ("pvc-a", "pvc-b"):
        paths = {"hostPath": f"/var/lib/direct-csi/mnt/{ONE}/{name}", "stagingPath": "", "containerPath": ""}
        legacy("DirectCSIVolume", name, "v1beta5", paths)
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, labels={"directpv.min.io/migrated": "true"}))
    cluster.objects.call("POST", VOLUMES, upstream_volume("pvc-a", ONE, 1 << 30))
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "direct-csi-min-io", "volumeHandle": "pvc-a"},
    }
    pv = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pvc-a"}, "spec": spec}
    cluster.objects.call("POST", PVS, pv)
    try:
        before = all_of(cluster.objects)
        status, rows, said = await migrate(cluster.server, *words)
        after = all_of(cluster.objects)
    finally:
        cluster.objects.erase(PVS, "pvc-a")

    assert (status, after) == (1, before), said
    assert rows == {
        f"DirectCSIDrive drive-{ONE[:8]}": "Migrated",
        f"DirectCSIDrive drive-{TWO[:8]}": "NotMigrated",
        "DirectCSIVolume pvc-a": "Migrated",
        "DirectCSIVolume pvc-b": "NotMigrated",
        "PersistentVolume pvc-a": "NotServed",
    }
    assert "install DirectPV v4.1.6 first" in said
    assert "3 of 5 objects of DirectCSI cannot be served as they are; nothing was changed" in said


async def test_what_v4_has_migrated_and_kept_is_no_trouble(cluster: Cluster, legacy: Made) -> None:
    legacy("DirectCSIDrive", "drive-1", "v1beta5", {"filesystemUUID": ONE})
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))

    status, rows, said = await migrate(cluster.server)

    assert (status, rows) == (0, {"DirectCSIDrive drive-1": "Migrated"}), said
