"""CreateVolume and GetCapacity over gRPC on clusters of every shape: rate, p99, longest block of the leader's loop.

The aim: every shape at 0.9 of the best one at least, and the leader's loop never blocked for more than 20 ms.
"""

import itertools
import os
import random
import secrets
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from statistics import median

import grpc.aio

from bench import create, programs, registry
from bench.client import calls, creation
from bench.figures import BLOCK, SHAPES, Figure, Figures
from bench.measure import at_once, ms, show, us
from directpv_common.protocol import names
from directpv_common.protocol.units import TIB
from directpv_csi_gateway.pb import csi_pb2 as csi

CALLS, WIDTH, DRIVES = 6_000, 64, 40_000
ROUNDS = 3
"""Shapes take turns, and each is worth its median round: one round of one shape differs by a third from the next."""
CAPACITY = "/csi.v1.Controller/GetCapacity"


@dataclass(frozen=True)
class Case:
    """One row: how drives are spread, and how volumes are asked for."""

    name: str
    shape: registry.Shape
    ask: Callable[[csi.CreateVolumeRequest, int, int], None]
    """Completes a request, given its number and a node's."""
    refused: bool = False
    calls: int = CALLS
    width: int = WIDTH


def on_node(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """On the node that the scheduler chose."""
    term = csi.Topology(segments={names.NODE: registry.node_name(node)})
    request.accessibility_requirements.requisite.append(term)
    request.accessibility_requirements.preferred.append(term)


def anywhere(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Wherever there is room."""


def immediate(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """On any node, each named in both lists, as the official provisioner asks with Immediate binding."""
    every = everywhere()
    request.accessibility_requirements.requisite.extend(every)
    request.accessibility_requirements.preferred.extend([*every[node:], *every[:node]])


@cache
def everywhere() -> list[csi.Topology]:
    """All nodes of the case."""
    records = registry.drive_records(DRIVES, IMMEDIATE)
    return [csi.Topology(segments=record.topology) for record in islice(records, 0, None, IMMEDIATE.per_node)]


def in_rack(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """In one rack of sixty, in turn."""
    request.accessibility_requirements.requisite.append(csi.Topology(segments={names.RACK: f"rack-{number % 60}"}))


def of_class(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Of one class of a hundred, in turn."""
    request.parameters[registry.CLASS] = f"class-{number % 100}"


def of_claim(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Of one claim id of 32, in turn."""
    request.parameters[names.VOLUME_CLAIM_ID] = f"00000000-0000-4000-8000-{number % 32:012}"


def too_large(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Larger than any drive."""
    request.capacity_range.required_bytes = 99 * TIB


def too_large_for_rack(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Larger than any drive of a rack."""
    too_large(request, number, node)
    in_rack(request, number, node)


IMMEDIATE = registry.Shape(8, racks=60)
CASES = (
    Case("20 drives per node", registry.Shape(20), on_node),
    Case("60 drives per node", registry.Shape(60), on_node),
    Case("102 drives per node", registry.Shape(102), on_node),
    Case("5,000 nodes", registry.Shape(8), on_node),
    Case("5,000 nodes, Immediate", IMMEDIATE, immediate, calls=160, width=8),
    Case("anywhere", registry.Shape(20), anywhere),
    Case("60 racks in turn", registry.Shape(20, racks=60), in_rack),
    Case("100 label sets in turn", registry.Shape(20, classes=100), of_class),
    Case("32 claim ids in turn", registry.Shape(20), of_claim),
    Case("refused anywhere", registry.Shape(20), too_large, refused=True),
    Case("refused in racks", registry.Shape(20, racks=60), too_large_for_rack, refused=True),
)


@dataclass(frozen=True)
class Round:
    """What one round of one case gave."""

    rate: float
    p99: float
    cpu: float
    """Seconds of controller and gateway per call: steadier than the rate, which client and neighbours share."""
    block: float
    capacity: float
    failed: int


async def bench(work: Path, url: str) -> Figures:
    """Print the table."""
    rounds: dict[str, list[Round]] = {case.name: [] for case in CASES}
    for number in range(ROUNDS):
        for case in CASES[:: -1 if number % 2 else 1]:
            rounds[case.name].append(await measured(work, url, case))
    rates = {name: median(each.rate for each in found) for name, found in rounds.items()}
    best = max(rates[case.name] for case in CASES if not case.refused)
    columns = [
        "shape",
        "per second",
        "÷ best",
        "CPU per call",
        "least ÷ it",
        "p99",
        "longest block",
        "GetCapacity p99",
        "failed",
    ]
    beside = {case.name: f"{rates[case.name] / best:.2f} ×" for case in CASES if case.width == WIDTH}
    spent = {name: median(each.cpu for each in found) for name, found in rounds.items()}
    least = min(spent[case.name] for case in CASES if not case.refused)
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            beside.get(name, ""),
            us(spent[name]),
            f"{least / spent[name]:.2f} ×" if name in beside else "",
            *cells(rounds[name]),
        ]
        for name in rates
    ]
    show(f"CreateVolume, {WIDTH} at once, {DRIVES:,} drives, median of {ROUNDS} rounds", columns, rows)
    print("with Immediate binding, 8 at once: each request names 5,000 nodes twice and has 1.9 MB", flush=True)
    worst = min(least / spent[case.name] for case in CASES if case.name in beside)
    return [Figure(SHAPES, worst), Figure(BLOCK, max(each.block for found in rounds.values() for each in found))]


def cells(rounds: list[Round]) -> list[str]:
    """Return the rest of a row: medians, but the longest block and the failures of all rounds."""
    return [
        ms(median(each.p99 for each in rounds)),
        ms(max(each.block for each in rounds)),
        ms(median(each.capacity for each in rounds)),
        str(sum(each.failed for each in rounds)),
    ]


async def measured(work: Path, url: str, case: Case) -> Round:
    """Run one case once."""
    file, nodes = work / f"block-{secrets.token_hex(3)}", DRIVES // case.shape.per_node
    pick, numbers, failed = random.Random(7), itertools.count(), 0
    async with create.running(work, url, DRIVES, case.shape, ("bench.watched", str(file))) as (socket, pid, gateway):
        async with create.client(socket) as bare:
            await create.answered(bare)
        async with calls(socket) as call:

            async def one(_: int) -> object:
                nonlocal failed
                number = next(numbers)
                request = creation(f"pvc-{secrets.token_hex(4)}-{number}")
                case.ask(request, number, pick.randrange(nodes))
                return await _expected(call(create.PATH, request, csi.CreateVolumeResponse))

            async def _expected(reply: Awaitable[object]) -> object:
                nonlocal failed
                try:
                    return await reply
                except grpc.aio.AioRpcError as error:
                    failed += not (case.refused and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
                    return None

            async def capacity(_: int) -> object:
                request = csi.GetCapacityRequest()
                request.accessible_topology.segments[names.NODE] = registry.node_name(pick.randrange(nodes))
                return await call(CAPACITY, request, csi.GetCapacityResponse)

            os.kill(pid, signal.SIGUSR2)
            before = programs.cpu_seconds(pid) + programs.cpu_seconds(gateway)
            volumes = await at_once(one, case.calls, case.width)
            used = programs.cpu_seconds(pid) + programs.cpu_seconds(gateway) - before
            room = await at_once(capacity, 500, 8)
    block = float(file.read_text())
    return Round(volumes.rate, volumes.p99, used / case.calls, block, room.p99, failed)
