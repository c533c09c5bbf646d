"""clean with a real API server: PersistentVolumes say which volumes nobody has any more."""

import asyncio
import json
import os
from typing import Any

from directpv_common.bus.bus import Bus
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import VOLUMES, Cluster, create, registered, volumes
from support import forked

PVS = "/api/v1/persistentvolumes"


async def clean(cluster: Cluster, *words: str) -> dict[str, str]:
    """Run the plugin with the cluster's kubeconfig; return what came of each volume."""
    argv = ("kubectl-directpv", "--kubeconfig", str(cluster.server.admin), "clean", *words, "-o", "json")
    env = {**os.environ, "DIRECTPV_NATS_URL": cluster.nats.url}
    done = await asyncio.to_thread(forked.run, *argv, env=env, within=60)
    assert done.returncode == 0, done.stderr
    return {each["name"]: each["outcome"] for each in json.loads(done.stdout)["volumes"]}


def persistent_volume(cluster: Cluster, volume: str, phase: str) -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "csi": {"driver": "directpv-min-io", "volumeHandle": volume},
    }
    item = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec}
    made = cluster.objects.call("POST", PVS, item)
    cluster.objects.call("PUT", f"{PVS}/{volume}/status", {**made, "status": {"phase": phase}})


async def is_gone(bus: Bus, name: str) -> bool:
    return name not in await volumes(bus)


async def test_volumes_go_whose_persistent_volume_is_released_and_all_others_are_kept(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    names: dict[str, Any] = {"pvc-released": "Released", "pvc-bound": "Bound", "pvc-available": "Available"}
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        for name in (*names, "pvc-new"):
            await create(bus, name)
        for name, phase in names.items():
            persistent_volume(cluster, name, phase)
        wanted = dict.fromkeys(("pvc-bound", "pvc-available", "pvc-new"), "Kept")

        assert await clean(cluster, "--all", "--dry-run") == {"pvc-released": "WouldDelete", **wanted}
        assert len(await volumes(bus)) == 4
        assert await clean(cluster, "--all") == {"pvc-released": "Deleted", **wanted}

        await until(lambda: is_gone(bus, "pvc-released"), "it is gone")
        assert len(cluster.objects.all(VOLUMES)) == 3
        assert cluster.objects.find(PVS, "pvc-released") is not None
        assert await clean(cluster, "--all") == wanted
        assert cluster.wrong() == []
    for name in names:
        cluster.objects.call("DELETE", f"{PVS}/{name}")
