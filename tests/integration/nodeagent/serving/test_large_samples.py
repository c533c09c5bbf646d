"""The metrics of a node with more volumes than a message holds are on the bus, part by part."""

import asyncio
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from directpv_common.bus.connecting import connect_bus
from directpv_common.process.lifecycle import background
from directpv_common.protocol.messages import NodeMetrics, VolumeRecord
from directpv_common.protocol.wire import decode
from directpv_nodeagent.layout.usage import Measured
from directpv_nodeagent.serving.sampler import Sample, Sampler, VolumeSample
from support.nats import nats_server
from support.node_client import eventually

DRIVE = str(uuid.uuid4())


def published(number: int) -> VolumeSample:
    measured = Measured(total=2**40, used=2**39, available=2**39, inodes_used=1, inodes_free=1)
    record = VolumeRecord(name=f"pvc-{number:06}", fsuuid=DRIVE, capacity=2**40)
    return VolumeSample(record, published=True, measured=measured)


@pytest.mark.parametrize("count", [10, 20_000])
async def test_every_volume_is_in_one_part_of_the_sample(tmp_path: Path, count: int) -> None:
    drives: Any = SimpleNamespace(host=SimpleNamespace(node="n1"))
    sampler = Sampler(drives, lambda _: None)
    sampler.latest = Sample(volumes=tuple(map(published, range(count))))
    parts: list[NodeMetrics] = []
    with nats_server(tmp_path / "store") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await bus.subscribe(bus.subjects.metrics("n1"), lambda msg: parts.append(decode(msg.data, NodeMetrics)))
            await bus.client.flush()
            async with background(sampler.publish(bus, 3600)):
                await eventually(lambda: _whole(parts), "the whole sample", 20)

    assert [volume.name for part in parts for volume in part.volumes] == [f"pvc-{n:06}" for n in range(count)]


async def _whole(parts: list[NodeMetrics]) -> bool:
    await asyncio.sleep(0)
    return bool(parts) and parts[-1].part == parts[-1].parts
