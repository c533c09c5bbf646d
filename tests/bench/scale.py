"""Claims end to end on simulated nodes: pod and claim → scheduler → official provisioner → ours → bound; no kubelet.

BENCH_NODES, BENCH_CLAIMS and BENCH_SEGMENTS choose other numbers. Beside it: the best public figure of a local driver,
10,000 volumes on 100 nodes in 1,775 s (csi-driver-host-path, distributed provisioning, 2022; pods ran there, too).
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import directpv_common.protocol.messages as m
from bench.figures import CLAIMS as CLAIMS_ROW
from bench.figures import SETTLED, Figure, Figures
from bench.many_nodes import NAMESPACE, Running, add_node, cluster
from bench.measure import Samples, ms, show
from directpv_common.protocol import names
from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.units import GIB
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource, connect
from directpv_controller.registry.kubernetes.apiserver.errors import Expired
from support.kube.apiserver import ApiServer

COUNT = int(os.environ.get("BENCH_NODES", "100"))
CLAIMS = int(os.environ.get("BENCH_CLAIMS", "10000"))
SEGMENTS = int(os.environ.get("BENCH_SEGMENTS", "2000"))
DRIVES, SIZE = 4, 100 * GIB
"""On each node."""
PULLS = 3
PUBLIC = 5.6
"""Volumes a second. Source: external-provisioner, docs/storage-capacity-tracking.md."""
MAKERS = 16
WARM = 20
WITHIN = 1200.0
"""Seconds that any step may take."""
PODS = Resource(f"/api/v1/namespaces/{NAMESPACE}/pods", "pods")
CLAIM = Resource(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", "persistentvolumeclaims")
CAPACITIES = Resource(f"/apis/storage.k8s.io/v1/namespaces/{NAMESPACE}/csistoragecapacities", "csistoragecapacities")


@asynccontextmanager
async def administrator(server: ApiServer) -> AsyncIterator[Client]:
    """Connect to the API server."""
    async with connect(from_kubeconfig(server.admin), lambda *_: None) as client:
        yield client


def claim(name: str) -> dict[str, Any]:
    """Return a claim of 1 MiB."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": names.DRIVER_NAME,
        "resources": {"requests": {"storage": "1Mi"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def pod(name: str) -> dict[str, Any]:
    """Return a pod that uses the claim of its name, wherever the scheduler wants it."""
    spec = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "none", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
        "tolerations": [{"operator": "Exists"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def changes(client: Client, resource: Resource) -> AsyncIterator[dict[str, Any]]:
    """Yield objects as they are, and then as they become; for ever."""
    while True:
        version = "0"
        async for page in client.pages(resource):
            version = page.version
            for item in page.items:
                yield item
        with contextlib.suppress(Expired, Unavailable):
            async with client.watch(resource, version, seconds=300, idle=60) as events:
                async for event in events:
                    if event["type"] in ("ADDED", "MODIFIED"):
                        yield event["object"]


async def provision(client: Client, count: int, prefix: str) -> Samples:
    """Make claims with their pods as fast as the API server takes them; wait until all are bound."""
    numbers, begun, ended = iter(range(count)), dict[str, float](), dict[str, float]()

    async def make() -> None:
        for number in numbers:
            name = f"{prefix}-{number}"
            begun[name] = time.perf_counter()
            await client.create(CLAIM, claim(name))
            await client.create(PODS, pod(name))

    async def watch() -> None:
        async for item in changes(client, CLAIM):
            name = item["metadata"]["name"]
            if name in begun and name not in ended and item.get("status", {}).get("phase") == "Bound":
                ended[name] = time.perf_counter()
                if len(ended) >= count:
                    return

    start = time.perf_counter()
    async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        for _ in range(MAKERS):
            tasks.create_task(make())
    return Samples(tuple(ended[name] - begun[name] for name in ended), time.perf_counter() - start)


async def segments(client: Client, count: int) -> dict[str, str]:
    """Wait until there are so many CSIStorageCapacity objects; return the capacity that each node's says."""
    found: dict[str, str] = {}
    async with asyncio.timeout(WITHIN):
        async for item in changes(client, CAPACITIES):
            found[item["nodeTopology"]["matchLabels"][names.NODE]] = item.get("capacity", "0")
            if len(found) >= count:
                return found
    raise AssertionError


async def settled(client: Client, node: str, before: str) -> float:
    """Return the seconds until the object of a node says another capacity."""
    begun = time.perf_counter()
    async with asyncio.timeout(WITHIN):
        async for item in changes(client, CAPACITIES):
            if item["nodeTopology"]["matchLabels"][names.NODE] == node and item.get("capacity", "0") != before:
                return time.perf_counter() - begun
    raise AssertionError


async def bench(work: Path, url: str) -> Figures:
    """Print the tables."""
    async with cluster(work, url, administrator, [[SIZE] * DRIVES] * COUNT) as (running, client):
        begun = time.perf_counter()
        await segments(client, COUNT)
        print(f"{COUNT} nodes have their capacity objects {time.perf_counter() - begun:.1f} s after all was started")
        await provision(client, WARM, "warm")
        before = running.seconds()
        made = await provision(client, CLAIMS, "claim")
        used = {name: seconds - before[name] for name, seconds in running.seconds().items()}
        _show_claims(made, used)
        slowest = await _capacities(running, client)
    return Figure(CLAIMS_ROW, made.rate, PUBLIC), Figure(SETTLED, slowest)


def _show_claims(made: Samples, used: dict[str, float]) -> None:
    rows = [
        ["claims bound", f"{len(made.seconds):,} in {made.wall:.0f} s"],
        ["per second", f"{made.rate:.1f}"],
        [f"÷ the best public figure ({PUBLIC}/s)", f"{made.rate / PUBLIC:.1f} ×"],
        ["made to bound, p50 and p99 (all are made at once)", f"{ms(made.p50)}, {ms(made.p99)}"],
    ]
    rows += [
        [f"processor time of {name}, per claim", ms(seconds / len(made.seconds))] for name, seconds in used.items()
    ]
    title = f"Claims end to end: {COUNT} nodes without machines, a pod for each claim, the manifests' provisioner flags"
    show(title, ["", ""], rows)


async def _capacities(running: Running, client: Client) -> float:
    """Add nodes until there are many; return the most seconds until a drive less on one of them was known."""
    for number in range(COUNT, SEGMENTS):
        await add_node(client, number)
    print(f"{SEGMENTS} nodes registered, {COUNT} of them with drives", flush=True)
    begun = time.perf_counter()
    found = await segments(client, SEGMENTS)
    all_known = time.perf_counter() - begun
    times = [await settled(client, node, found[node]) for node in itertools.islice(_pulls(running), PULLS)]
    rows = [
        [f"all {SEGMENTS:,} objects there, after the last node came", f"{all_known:.1f} s"],
        ["a drive pulled → the node's object says so, 3 times", ", ".join(f"{each:.1f} s" for each in times)],
    ]
    show("CSIStorageCapacity", ["", ""], rows)
    return max(times)


def _pulls(running: Running) -> Iterator[str]:
    """Pull a drive of one node after another; yield the nodes."""
    for node in running.nodes:
        drive = next(iter(node.drives.values()))
        drive.record = replace(drive.record, status=m.DriveStatus.LOST, device="")
        drive.generation += 1
        yield node.name
