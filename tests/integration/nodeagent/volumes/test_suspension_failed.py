"""Drives that have failed are what people suspend: their pods must start without them."""

import contextlib
from pathlib import Path

import pytest

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import SUSPEND
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, unmount
from integration.nodeagent.volumes.test_suspension import is_empty_and_read_only, mount, suspend
from integration.nodeagent.volumes.test_suspension import unmount as take_away
from support.node_client import MIB, Client


@pytest.fixture
async def pulled(agent: AgentProcess, loops: Loops, client: Client, pods: Path) -> tuple[str, Path, str]:
    """A drive that was pulled, with data on a volume; gives its id, its file, and a device where it can come back."""
    device, spare = loops.make(), loops.make()
    agent.start(device, spare)
    fsuuid = await client.make_drive(device)
    await client.make_volume(fsuuid, "pvc-1")
    ((await mount(client, "pvc-1", pods)) / "file").write_text("data")
    await take_away(client, "pvc-1", pods)
    unmount(agent.root / "mnt" / fsuuid)
    file, _ = loops.detach(device), loops.detach(spare)
    await client.drive_when(fsuuid, lambda held: held.record.status == "Lost", "lost")
    return fsuuid, file, spare


async def test_a_lost_drive_can_be_suspended_and_its_pods_start_without_it(
    pulled: tuple[str, Path, str], loops: Loops, client: Client, pods: Path
) -> None:
    fsuuid, file, spare = pulled

    with pytest.raises(FailedPrecondition, match="Lost"):  # which tells the leader that the drive itself has it not
        await suspend(client, fsuuid)

    assert is_empty_and_read_only(await mount(client, "pvc-1", pods))
    loops.attach_at(int(spare.removeprefix("loop")), file)
    held = await client.drive_when(fsuuid, is_ready, "ready again")
    assert SUSPEND not in held.record.labels  # so that the leader, which compares, orders it again
    assert is_empty_and_read_only(pods / "pvc-1")
    await take_away(client, "pvc-1", pods)
    assert ((await mount(client, "pvc-1", pods)) / "file").read_text() == "data"


async def test_a_volume_of_a_lost_drive_can_be_suspended_alone(
    pulled: tuple[str, Path, str], client: Client, pods: Path
) -> None:
    record = VolumeRecord(name="pvc-1", fsuuid=pulled[0], capacity=20 * MIB, labels={SUSPEND: "true"})

    failed = await client.prepare(record)

    assert "Lost" in failed["pvc-1"]
    assert is_empty_and_read_only(await mount(client, "pvc-1", pods))


async def test_a_volume_whose_place_is_covered_can_be_suspended_and_staged_there_again(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    await mount(client, "pvc-1", pods)
    with (pods / "pvc-1/file").open("w", buffering=1) as held:
        shut_down(agent.root / "mnt" / drive)
        await client.drive_when(
            drive, lambda d: any("files open" in c.message for c in d.record.conditions), "its places are covered"
        )
        await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, labels={SUSPEND: "true"}))

        assert is_empty_and_read_only(await mount(client, "pvc-1", pods))
        with contextlib.suppress(OSError):
            held.close()
    await client.drive_when(drive, is_ready, "ready again")
    await take_away(client, "pvc-1", pods)
    assert mounts_below(pods) == []
