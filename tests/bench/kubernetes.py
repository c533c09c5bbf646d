"""CreateVolume with custom resources as the registry, beside the bare create of one such object in the same run.

A real kube-apiserver on a real etcd that fsyncs; 10,000 drives are registered, and 1,000 claims made.
"""

import asyncio
import itertools
import random
import secrets
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import directpv_common.protocol.messages as m
from bench import programs
from bench.client import calls, creation
from bench.create import PATH, Create, answered, best
from bench.figures import KUBE, KUBE_RATE, Figure, Figures
from bench.measure import Samples, at_once, mib, ms, one_by_one, show
from directpv_common import crd
from directpv_common.protocol import names
from directpv_common.protocol.units import GIB, MIB
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import Client, connect
from directpv_controller.registry.kubernetes.keeping.shelf import DRIVES, VOLUMES
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.kube.apiserver import ApiServer
from support.ports import free_port

DRIVES_IN_ALL, DRIVES_PER_NODE = 10_000, 20
SEQUENTIAL, PARALLEL, WIDTH = 300, 700, 64
MAKERS = 32
ROUNDS = 2
"""Floor and chain take turns, so that a machine that drifts does so for both."""
WARM = 20
LEASE_SECONDS = "15"
PATIENCE = 60.0


def drive(number: int) -> m.DriveRecord:
    """One of the drives; ids are the same in each run."""
    node = f"node-{number // DRIVES_PER_NODE:05d}"
    topology = {names.NODE: node, names.ZONE: "default", names.RACK: "default", names.REGION: "default"}
    return m.DriveRecord(
        fsuuid=str(uuid.UUID(int=number + 1)), node=node, total=100 * GIB, overhead=GIB, device="sda", topology=topology
    )


async def fill(client: Client) -> float:
    """Register the drives; return seconds."""
    numbers = iter(range(DRIVES_IN_ALL))

    async def make() -> None:
        for number in numbers:
            await client.create(DRIVES, crd.drive_to_object(drive(number)), within=PATIENCE)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(MAKERS):
            tasks.create_task(make())
    return time.perf_counter() - begun


def bare(client: Client, prefix: str) -> Callable[[int], Awaitable[object]]:
    """Return what makes one object of a volume, and nothing else."""
    unique = itertools.count()

    async def one(_: int) -> object:
        record = m.VolumeRecord(name=f"{prefix}-{next(unique)}", fsuuid=str(uuid.UUID(int=2**100)), capacity=MIB)
        return await client.create(VOLUMES, crd.volume_to_object(record, node="nowhere", device="sda"), within=PATIENCE)

    return one


@asynccontextmanager
async def chain(work: Path, url: str, server: ApiServer, port: int) -> AsyncIterator[Create]:
    """Run the real gateway and the real controller on the API server; wait until they answer."""
    socket = str(work / "csi.sock")
    common = {"DIRECTPV_NATS_URL": url, "DIRECTPV_SUBJECT_PREFIX": f"bench-{secrets.token_hex(3)}"}
    settings = {
        "DIRECTPV_REGISTRY": "kubernetes",
        "DIRECTPV_KUBECONFIG": str(server.admin),
        "DIRECTPV_NAMESPACE": "default",
        "DIRECTPV_LEASE_SECONDS": LEASE_SECONDS,
        "DIRECTPV_METRICS_PORT": str(port),
        "DIRECTPV_ONLINE_SECONDS": "0",  # nodes of the drives do not run
        "DIRECTPV_HTTP_HOST": "127.0.0.1",
    }
    gateway = {"DIRECTPV_CSI_SOCKET": socket, "DIRECTPV_MODE": "controller", "DIRECTPV_METRICS_PORT": "0"}
    controller = programs.program(
        *programs.python("directpv_controller"), env={**common, **settings}, log=work / "controller.log"
    )
    gateways = programs.program(
        *programs.python("directpv_csi_gateway"), env={**common, **gateway}, log=work / "gateway.log"
    )
    with controller, gateways:
        programs.wait_for(lambda: programs.listens(socket), "the gateway")
        async with calls(socket) as call:

            async def create(name: str, node: str) -> object:
                return await call(PATH, creation(name, node), csi.CreateVolumeResponse)

            await answered(create)
            yield create


def requests(port: int, verbs: tuple[str, ...]) -> float:
    """Return how many requests to drives and volumes the controller has made."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    begin = "directpv_controller_kubernetes_requests_total{"
    chosen = [line for line in lines if line.startswith(begin) and any(f'verb="{verb}"' in line for verb in verbs)]
    return sum(float(line.split()[-1]) for line in chosen if 'resource="drives"' in line or '"volumes"' in line)


async def measure(create: Create, port: int) -> tuple[tuple[Samples, Samples], tuple[float, float]]:
    """Time new volumes, each on a node that the scheduler chose; return also API writes per volume: alone, together."""
    unique, pick = (f"pvc-{secrets.token_hex(4)}-{number}" for number in itertools.count()), random.Random(7)

    async def one(_: int) -> object:
        return await create(next(unique), drive(pick.randrange(DRIVES_IN_ALL)).node)

    writes = ("POST", "PUT", "PATCH", "DELETE")
    for _ in range(WARM):
        await one(0)
    start = requests(port, writes)
    single = await one_by_one(one, SEQUENTIAL, warm=0)
    middle = requests(port, writes)
    many = await at_once(one, PARALLEL, WIDTH)
    end = requests(port, writes)
    if not start < middle < end:
        raise RuntimeError(f"the controller counts no writes: {start}, {middle}, {end}")
    return (single, many), ((middle - start) / SEQUENTIAL, (end - middle) / PARALLEL)


async def list_everything(client: Client) -> tuple[float, int]:
    """Do what upstream does at each call: list all drives in pages of 200; return seconds and bytes of JSON."""
    import orjson

    begun, size = time.perf_counter(), 0
    async for page in client.pages(DRIVES, size=200):
        size += len(orjson.dumps(page.items))
    return time.perf_counter() - begun, size


async def bench(work: Path, url: str) -> Figures:
    """Print the table."""
    server = ApiServer(work / "kube", durable=True)
    port = free_port()
    try:
        await asyncio.to_thread(server.start)
        server.apply(*crd.custom_resource_definitions())
        server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        async with connect(from_kubeconfig(server.admin), lambda *_: None) as client:
            seconds = await fill(client)
            print(f"{DRIVES_IN_ALL:,} drives registered in {seconds:.0f} s", flush=True)
            floor: list[tuple[Samples, Samples]] = []
            full: list[tuple[Samples, Samples]] = []
            writes: list[tuple[float, float]] = []
            for turn in range(ROUNDS):
                one = await one_by_one(bare(client, f"one-{turn}"), SEQUENTIAL)
                floor.append((one, await at_once(bare(client, f"many-{turn}"), PARALLEL, WIDTH)))
                begun = time.perf_counter()
                async with chain(work, url, server, port) as create:
                    print(f"first volume {time.perf_counter() - begun:.1f} s after the controller's start", flush=True)
                    measured, counted = await measure(create, port)
                    full.append(measured)
                    writes.append(counted)
            listing, size = await list_everything(client)
        _show(best(floor), best(full), max(writes))
        listed = f"takes {ms(listing)}; it is {mib(size)} without managedFields"
        print(f"for scale: one list of all drives in pages of 200 {listed}")
        alone, many = best(full)
        return [Figure(KUBE, alone.p50 / best(floor)[0].p50), Figure(KUBE_RATE, many.rate, best(floor)[1].rate)]
    finally:
        server.close()


def _show(base: tuple[Samples, Samples], full: tuple[Samples, Samples], writes: tuple[float, float]) -> None:
    columns = ["", "p50", "p99", f"p50 of {WIDTH}", f"p99 of {WIDTH}", "per second", "p50 ÷ bare", "API writes each"]
    rows = [
        ["bare create of one object", *_cells(base), "", "1"],
        [
            "CreateVolume",
            *_cells(full),
            f"{full[0].p50 / base[0].p50:.2f} ×",
            f"{writes[0]:.2f}, {writes[1]:.2f} at {WIDTH}",
        ],
    ]
    show(
        f"CreateVolume: gRPC → gateway → bus → controller → API server → back; {DRIVES_IN_ALL:,} drives", columns, rows
    )


def _cells(pair: tuple[Samples, Samples]) -> list[str]:
    one, many = pair
    return [ms(one.p50), ms(one.p99), ms(many.p50), ms(many.p99), f"{many.rate:,.0f}"]
