"""What nodes have on their drives, looked at there and not in anybody's records."""

import asyncio
from collections import Counter
from typing import Final

from support.kube.cluster import OwnCluster
from support.kube.driver import Driver
from support.kube.node import KubeNode
from support.kube.workloads import Object, drive_of, node_of

MOUNTS: Final = "/var/lib/directpv/mnt"


def place_of(volume: Object) -> str:
    """Return the directory of a volume on its node."""
    return f"{MOUNTS}/{drive_of(volume)}/{volume['metadata']['name']}"


async def directories(machines: OwnCluster) -> Counter[str]:
    """Count the directories of each volume on all drives of all nodes."""
    found: Counter[str] = Counter()
    for node in machines.nodes:
        paths = await node.hand.sh(f"ls -d {MOUNTS}/*/pvc-* 2>/dev/null || true")
        found.update(path.rpartition("/")[2] for path in paths.split())
    return found


async def are_served(node: KubeNode, driver: Driver) -> bool:
    """Tell whether all drives of a node are Ready, and mounted there."""
    mine = [drive for drive in await asyncio.to_thread(driver.drives) if node_of(drive) == node.name]
    mounts = (await node.hand.read("/proc/mounts")).decode()
    assert mine
    return all(drive["status"]["status"] == "Ready" and f" {MOUNTS}/{drive_of(drive)} xfs " in mounts for drive in mine)
