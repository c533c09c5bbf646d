"""A sample of a node on the bus, whatever its size."""

import uuid

import pytest

from directpv_common.protocol.messages import DriveMetrics, NodeMetrics, VolumeMetrics
from directpv_common.protocol.wire import decode, encode
from directpv_nodeagent.serving.sampler import parts_of

ROOM = 4_000
FRAME = 200
"""Bytes of a part beside its figures."""


def sample(drives: int, volumes: int) -> NodeMetrics:
    ids = [str(uuid.UUID(int=number)) for number in range(drives)]
    return NodeMetrics(
        node="n1",
        time="2026-11-22T10:00:00Z",
        drives=tuple(DriveMetrics(fsuuid=fsuuid, ready=True) for fsuuid in ids),
        volumes=tuple(
            VolumeMetrics(name=f"pvc-{number}", fsuuid=ids[number % drives], total=2**40, used=2**39)
            for number in range(volumes)
        ),
    )


@pytest.mark.parametrize(("drives", "volumes"), [(0, 0), (1, 0), (1, 1), (30, 1), (100, 0), (30, 500)])
def test_the_parts_of_a_sample_fit_into_messages_and_hold_each_figure_once(drives: int, volumes: int) -> None:
    whole = sample(drives, volumes)
    parts = [decode(encode(part), NodeMetrics) for part in parts_of(whole, ROOM)]

    assert [(part.part, part.parts) for part in parts] == [(n + 1, len(parts)) for n in range(len(parts))]
    assert tuple(drive for part in parts for drive in part.drives) == whole.drives
    assert tuple(volume for part in parts for volume in part.volumes) == whole.volumes
    assert {(part.node, part.time) for part in parts} == {(whole.node, whole.time)}
    assert max(len(encode(part)) for part in parts) <= ROOM + FRAME


def test_a_sample_that_fits_is_one_message_as_it_always_was() -> None:
    (only,) = parts_of(sample(2, 10), ROOM)

    assert only == sample(2, 10)


def test_a_figure_that_is_larger_than_a_part_is_a_part_of_its_own() -> None:
    assert [len(part.drives) for part in parts_of(sample(3, 0), 1)] == [1, 1, 1]
