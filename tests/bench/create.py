"""CreateVolume over gRPC, one after another and 64 at once, with few and many drives, beside the floor."""

import asyncio
import contextlib
import itertools
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc.aio

from bench import programs, registry
from bench.client import calls, creation
from bench.figures import ALONE, RATE, Figure, Figures
from bench.measure import Samples, at_once, ms, one_by_one, show
from directpv_csi_gateway.pb import csi_pb2 as csi

PATH = "/csi.v1.Controller/CreateVolume"
SEQUENTIAL, PARALLEL, WIDTH = 1500, 6000, 64
SIZES = (100, 10_000, 100_000)
ROUNDS = 2
"""Floor and chain take turns, so that a machine that drifts does so for both."""

Create = Callable[[str, str], Awaitable[object]]


@contextlib.asynccontextmanager
async def client(socket: str) -> AsyncIterator[Create]:
    """Yield ``create(name, node)``."""
    async with calls(socket) as call:
        yield lambda name, node: call(PATH, creation(name, node), csi.CreateVolumeResponse)


@contextlib.asynccontextmanager
async def floor(work: Path, url: str) -> AsyncIterator[Create]:
    """Run the empty chain."""
    socket = str(work / f"floor-{secrets.token_hex(3)}.sock")
    store = programs.python("bench.floor", "store", str(work / f"floor-{secrets.token_hex(3)}.db"), url)
    with programs.program(*store), programs.program(*programs.python("bench.floor", "gateway", socket, url)):
        programs.wait_for(lambda: programs.listens(socket), "the floor's gateway")
        async with client(socket) as create:
            await answered(create)
            yield create


async def answered(create: Create) -> None:
    """Wait until the whole chain answers."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await create("pvc-first", "")
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def chain(work: Path, url: str, drives: int) -> AsyncIterator[Create]:
    """Run the real gateway and the real controller on a registry of so many drives."""
    async with running(work, url, drives) as (socket, *_), client(socket) as create:
        await answered(create)
        yield create


@contextlib.asynccontextmanager
async def running(
    work: Path, url: str, drives: int, shape: registry.Shape = registry.USUAL, watch: tuple[str, ...] = ()
) -> AsyncIterator[tuple[str, int, int]]:
    """Run gateway and controller, the latter under the module ``watch``; yield socket and pids."""
    name = secrets.token_hex(3)
    socket, file = str(work / f"csi-{name}.sock"), work / f"registry-{name}.db"
    registry.fill(file, drives=drives, shape=shape)
    common = {"DIRECTPV_NATS_URL": url, "DIRECTPV_SUBJECT_PREFIX": f"bench-{name}", "DIRECTPV_METRICS_PORT": "0"}
    controller = programs.python(*watch, "directpv_controller")
    gateway = programs.python("directpv_csi_gateway")
    settings = {"DIRECTPV_CSI_SOCKET": socket, "DIRECTPV_MODE": "controller"}
    own = {"DIRECTPV_REGISTRY": str(file), "DIRECTPV_ONLINE_SECONDS": "0"}  # nodes of the drives do not run
    with (
        programs.program(*controller, env={**common, **own}, log=work / "controller.log") as leader,
        programs.program(*gateway, env={**common, **settings}, log=work / "gateway.log") as served,
    ):
        programs.wait_for(lambda: programs.listens(socket), "the gateway")
        yield socket, leader.pid, served.pid


async def measure(create: Create, nodes: int) -> tuple[Samples, Samples]:
    """Time new volumes, each on a node that the scheduler chose."""
    names = (f"pvc-{secrets.token_hex(4)}-{number}" for number in itertools.count())
    pick = random.Random(7)

    async def one(_: int) -> object:
        return await create(next(names), registry.node_name(pick.randrange(nodes)))

    return await one_by_one(one, SEQUENTIAL), await at_once(one, PARALLEL, WIDTH)


async def compare(work: Path, url: str) -> Figures:
    """Measure only what the table of all figures needs."""
    return await bench(work, url, SIZES[-1:])


async def bench(work: Path, url: str, sizes: tuple[int, ...] = SIZES) -> Figures:
    """Print the table."""
    rows, at_100 = [], 0.0
    for drives in sizes:
        nodes = max(1, drives // registry.DRIVES_PER_NODE)
        bare: list[tuple[Samples, Samples]] = []
        real: list[tuple[Samples, Samples]] = []
        for _ in range(ROUNDS):
            async with floor(work, url) as create:
                bare.append(await measure(create, nodes))
            async with chain(work, url, drives) as create:
                real.append(await measure(create, nodes))
        base, full = best(bare), best(real)
        at_100 = at_100 or full[0].p50
        rows += [row("floor", base, None), row(f"{drives:,} drives", full, base)]
        rows[-1].append(f"{full[0].p50 / at_100:.2f} ×")
    columns = [
        "",
        "p50",
        "p99",
        f"p50 of {WIDTH}",
        f"p99 of {WIDTH}",
        "per second",
        "p50 ÷ floor",
        "rate ÷ floor",
        "÷ 100 drives",
    ]
    show("CreateVolume: gRPC → gateway → bus → controller → fsynced SQLite → back", columns, rows)
    return [Figure(RATE, full[1].rate, base[1].rate), Figure(ALONE, full[0].p50, base[0].p50)]


def best(rounds: list[tuple[Samples, Samples]]) -> tuple[Samples, Samples]:
    """Return the round that the rest of the machine disturbed least."""
    return min((one for one, _ in rounds), key=lambda s: s.p50), max((many for _, many in rounds), key=lambda s: s.rate)


def row(name: str, pair: tuple[Samples, Samples], base: tuple[Samples, Samples] | None) -> list[str]:
    """One line of the table."""
    one, many = pair
    cells = [name, ms(one.p50), ms(one.p99), ms(many.p50), ms(many.p99), f"{many.rate:,.0f}"]
    if base is None:
        return [*cells, "", "", ""]
    return [*cells, f"{one.p50 / base[0].p50:.2f} ×", f"{many.rate / base[1].rate:.2f} ×"]
