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
from pathlib import Path

import grpc.aio

from bench import create, registry
from bench.client import calls, creation
from bench.measure import at_once, ms, show
from directpv_common.protocol import names
from directpv_common.protocol.units import TIB
from directpv_csi_gateway.pb import csi_pb2 as csi

CALLS, WIDTH, DRIVES = 3_000, 64, 40_000
CAPACITY = "/csi.v1.Controller/GetCapacity"


@dataclass(frozen=True)
class Case:
    """One row: how drives are spread, and how volumes are asked for."""

    name: str
    shape: registry.Shape
    ask: Callable[[csi.CreateVolumeRequest, int, int], None]
    """Completes a request, given its number and a node's."""
    refused: bool = False


def on_node(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """On the node that the scheduler chose."""
    term = csi.Topology(segments={names.NODE: registry.node_name(node)})
    request.accessibility_requirements.requisite.append(term)
    request.accessibility_requirements.preferred.append(term)


def anywhere(request: csi.CreateVolumeRequest, number: int, node: int) -> None:
    """Wherever there is room."""


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


CASES = (
    Case("20 drives per node", registry.Shape(20), on_node),
    Case("60 drives per node", registry.Shape(60), on_node),
    Case("102 drives per node", registry.Shape(102), on_node),
    Case("5,000 nodes", registry.Shape(8), on_node),
    Case("anywhere", registry.Shape(20), anywhere),
    Case("60 racks in turn", registry.Shape(20, racks=60), in_rack),
    Case("100 label sets in turn", registry.Shape(20, classes=100), of_class),
    Case("32 claim ids in turn", registry.Shape(20), of_claim),
    Case("refused anywhere", registry.Shape(20), too_large, refused=True),
    Case("refused in racks", registry.Shape(20, racks=60), too_large_for_rack, refused=True),
)


async def bench(work: Path, url: str) -> None:
    """Print the table."""
    rates: dict[str, float] = {}
    rows = []
    for case in CASES:
        row, rates[case.name] = await measured(work, url, case)
        rows.append(row)
    best = max(rate for name, rate in rates.items() if not name.startswith("refused"))
    for row in rows:
        row.append(f"{rates[row[0]] / best:.2f} ×")
    columns = ["shape", "per second", "p99", "failed", "longest block", "GetCapacity p99", "÷ best"]
    show(f"CreateVolume, {WIDTH} at once, {DRIVES:,} drives", columns, rows)


async def measured(work: Path, url: str, case: Case) -> tuple[list[str], float]:
    """Run one case; return its row without the last cell, and its rate."""
    file, nodes = work / f"block-{secrets.token_hex(3)}", DRIVES // case.shape.per_node
    pick, numbers, failed = random.Random(7), itertools.count(), 0
    async with create.running(work, url, DRIVES, case.shape, ("bench.watched", str(file))) as (socket, pid):
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
            volumes = await at_once(one, CALLS, WIDTH)
            room = await at_once(capacity, 500, 8)
    block = float(file.read_text())
    cells = [case.name, f"{volumes.rate:,.0f}", ms(volumes.p99), str(failed), ms(block), ms(room.p99)]
    return cells, volumes.rate
