"""A volume moves with its data while its pod writes and whatever takes part in it is killed."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.local.csi_client import creation
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition
from directpv_common.protocol.units import MIB
from support.cluster import Cluster, Pod, cluster, eventually, everything, settled

pytestmark = pytest.mark.timeout(300)
SIZE = 64 * MIB
SERVICES = ("nodeagent-node-1", "controller-1", "nats")


@pytest.fixture
async def running() -> AsyncIterator[Cluster]:
    with cluster(nodes=1, drives=2) as stack:
        await stack.initialise()
        yield stack


@pytest.fixture
async def bus(running: Cluster) -> AsyncIterator[Bus]:
    async with running.bus() as connected:
        yield connected


@pytest.fixture
async def pod(running: Cluster, bus: Bus) -> AsyncIterator[Pod]:
    """A pod that has written some files."""
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-1", SIZE))).volume
        pod = Pod(client, volume, running.stack.directory / "pods")
        await begin(pod)
        for number in range(50):
            Path(pod.target, f"file-{number}").write_bytes(random.Random(number).randbytes(200_000))
        yield pod


async def begin(pod: Pod) -> None:
    await eventually(pod.stage, "the volume is staged")
    await eventually(pod.publish, "the volume is published")


async def end(pod: Pod) -> None:
    await eventually(pod.unpublish, "the volume is unpublished")
    await eventually(pod.unstage, "the volume is unstaged")


def content(pod: Pod) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(pod.target).iterdir()}


async def move(bus: Bus, **asked: object) -> m.MoveStatus:
    return await bus.call(Controller.VOLUME_MOVE, m.MoveVolume(name="pvc-1", **asked), within=30)  # type: ignore[arg-type]


async def found(bus: Bus) -> m.VolumeRecord:
    return (await bus.call(Controller.VOLUME_GET, m.VolumeId(name="pvc-1"), within=10)).record


async def until(bus: Bus, condition: Callable[[m.VolumeRecord], bool], what: str) -> m.VolumeRecord:
    async def check() -> m.VolumeRecord:
        record = await found(bus)
        assert condition(record), record
        return record

    return await eventually(check, what, 120)


async def state(bus: Bus) -> m.MoveState:
    moves = (await bus.call(Controller.MOVE_LIST, m.ListMoves(), within=10)).moves
    return moves[0].state if moves else m.MoveState.NONE


async def waits(bus: Bus) -> None:
    async def check() -> None:
        assert await state(bus) is m.MoveState.WAITING

    await eventually(check, "the move waits for the pod", 120)


async def test_a_pod_that_restarts_finds_its_data_on_the_other_drive(running: Cluster, bus: Bus, pod: Pod) -> None:
    before = await found(bus)
    drives, _ = await everything(bus)
    (target,) = [drive.record.fsuuid for drive in drives if drive.record.fsuuid != before.fsuuid]
    begun = await move(bus, target=target, limit=50 * MIB)
    assert (begun.source, begun.target) == (before.fsuuid, target)
    await waits(bus)
    Path(pod.target, "late").write_text("written while it waits")
    expected = content(pod)

    async def moved() -> m.VolumeRecord:
        record = await found(bus)
        if record.moving is not None and await state(bus) is m.MoveState.WAITING:  # at another pass when the pod went
            await end(pod)
            await begin(pod)
        assert record.moving is None, record
        return record

    await end(pod)
    await begin(pod)

    assert content(pod) == expected
    after = await eventually(moved, "the move has ended", 120)
    assert (after.fsuuid, after.origins) == (target, (before.fsuuid,))
    await settled(running, bus)
    assert content(pod) == expected
    await end(pod)


async def test_a_move_that_is_cancelled_leaves_the_volume_where_it_is(running: Cluster, bus: Bus, pod: Pod) -> None:
    before, expected = await found(bus), content(pod)
    await move(bus)
    await waits(bus)

    await move(bus, cancel=True)

    await until(bus, lambda record: record.moving is None, "the move is undone")
    assert (await found(bus)).fsuuid == before.fsuuid
    await settled(running, bus)
    await end(pod)
    await begin(pod)
    assert content(pod) == expected
    await end(pod)


async def test_a_volume_that_is_deleted_while_it_moves_is_gone_from_both_drives(
    running: Cluster, bus: Bus, pod: Pod
) -> None:
    await move(bus)
    await waits(bus)
    await end(pod)

    async def delete() -> None:
        await bus.call(Controller.VOLUME_DELETE, m.VolumeId(name="pvc-1"), within=10)

    await eventually(delete, "the volume is deleted", 120)
    _, volumes = await settled(running, bus)
    assert volumes == []


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3))])
async def test_whatever_is_killed_whenever_the_data_is_on_one_drive_and_complete(
    running: Cluster, bus: Bus, pod: Pod, seed: int
) -> None:
    chance = random.Random(seed)
    before = await found(bus)
    await move(bus, limit=20 * MIB)
    killing = asyncio.create_task(kill(running, chance))
    try:
        for number in range(40):
            Path(pod.target, f"file-{number}").write_bytes(chance.randbytes(100_000))
            await asyncio.sleep(0.05)
        expected = content(pod)
        await end(pod)
        await until(bus, lambda record: record.fsuuid != before.fsuuid, "the volume is on the other drive")
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        for name in SERVICES:
            if name not in {process.name for process in running.stack.running}:
                running.start(name)
    await begin(pod)

    assert content(pod) == expected
    await until(bus, lambda record: record.moving is None, "the move has ended")
    await settled(running, bus)
    await end(pod)


async def kill(running: Cluster, chance: random.Random) -> None:
    """Kill one service after the other, and start it again."""
    while True:
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        name = chance.choice(SERVICES)
        running.kill(name)
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        running.start(name)
        await asyncio.sleep(chance.uniform(1.0, 4.0))


async def test_a_flipped_volume_cannot_be_cancelled_and_a_suspended_source_is_refused(
    running: Cluster, bus: Bus, pod: Pod
) -> None:
    before = await found(bus)
    await bus.call(Controller.DRIVE_CHANGE, m.ChangeDrive(fsuuid=before.fsuuid, suspended=True), within=10)

    with pytest.raises(FailedPrecondition, match="suspended"):
        await move(bus)

    await bus.call(Controller.DRIVE_CHANGE, m.ChangeDrive(fsuuid=before.fsuuid, suspended=False), within=10)
    with pytest.raises(DirectPVError):
        await move(bus, target=before.fsuuid)
    await end(pod)
