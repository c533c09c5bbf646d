"""The console before a real API server: what it cleans is what Kubernetes says that nobody has any more."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from integration.controller.harness import until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import VOLUMES, Cluster, create, registered, volumes
from integration.kubernetes_registry.test_clean import PVS, is_gone, persistent_volume
from support.console import Inside
from support.ports import free_port

PLUGIN = Path(sys.executable).parent / "kubectl-directpv"
WITHIN = 60.0


@contextmanager
def console(cluster: Cluster) -> Iterator[Inside]:
    """Run the console with the cluster's kubeconfig."""
    argv = [PLUGIN, "--kubeconfig", cluster.server.admin, "console", "--no-browser", f"--port={free_port()}"]
    env = {**os.environ, "DIRECTPV_NATS_URL": cluster.nats.url}
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    watchdog = threading.Timer(2 * WITHIN, process.kill)
    watchdog.start()
    try:
        yield Inside(process.stdout.readline().strip())
    finally:
        watchdog.cancel()
        process.terminate()
        try:
            process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def test_the_console_cleans_what_kubernetes_says_is_released_and_keeps_what_is_used(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    phases = {"pvc-gone": "Released", "pvc-in-use": "Bound"}
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        for name, phase in phases.items():
            await create(bus, name)
            persistent_volume(cluster, name, phase)
        await asyncio.to_thread(_cleans_one, cluster)
        await until(lambda: is_gone(bus, "pvc-gone"), "it is gone")
        assert set(await volumes(bus)) == set(cluster.objects.all(VOLUMES)) == {"pvc-in-use"}
    for name in phases:
        cluster.objects.call("DELETE", f"{PVS}/{name}")


def _cleans_one(cluster: Cluster) -> None:
    with console(cluster) as inside:
        refused = inside.page(inside.planned("clean", "pvc-in-use"))
        assert "It cannot be done" in refused
        assert "Volume pvc-in-use kept: PersistentVolume pvc-in-use is Bound" in refused
        plan = inside.planned("clean", "pvc-gone", "pvc-in-use")
        said = inside.page(plan)
        assert "What would be done" in said
        assert re.search("Volume pvc-gone on n1/sda would be deleted Volume pvc-in-use kept", said), said
        inside.sent(plan, ("typed", "2 volumes"))


async def test_several_volumes_at_once_are_refused_where_all_have_lost_their_persistent_volumes(
    cluster: Cluster, bus: Bus
) -> None:
    """Ticked in a table they are no more meant one by one than what a flag selects."""
    cluster.controller()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    names = ("pvc-1", "pvc-2")
    async with node.running(bus):
        await registered(cluster, bus, fsuuid)
        for name in names:
            await create(bus, name)
        await until(lambda: set(node.drives[fsuuid].volumes) == set(names), "they are on the drive")
        drive = node.drives[fsuuid]
        drive.volumes = {each.name: replace(each, pv=m.KeptPv()) for each in drive.volumes.values()}
        drive.generation += 1
        await until(lambda: _all_had(bus), "it is known that they had PersistentVolumes")
        await asyncio.to_thread(_refuses_all, cluster, names)
        assert set(await volumes(bus)) == set(names)


async def _all_had(bus: Bus) -> bool:
    return all(each.record.pv is not None for each in (await volumes(bus)).values())


def _refuses_all(cluster: Cluster, names: tuple[str, ...]) -> None:
    with console(cluster) as inside:
        refused = inside.page(inside.planned("clean", *names))
        assert "It cannot be done" in refused
        assert "all 2 volumes that had a PersistentVolume have none in this cluster" in refused
        one = inside.page(inside.planned("clean", names[0]))
        assert "have none in this cluster" not in one, "one that is named is meant, and looked at"
        assert f"Volume {names[0]} kept: it was made at" in one
