"""Orders of a leader whose registry is older than a move, or knows nothing of it."""

import os
from pathlib import Path

from msgspec.structs import replace

from integration.nodeagent.moving.moving import INCARNATION, MIB, Leader


async def test_an_order_for_the_drive_that_a_volume_has_left_is_refused_and_the_volume_stays_the_volume(
    leader: Leader, pods: Path
) -> None:
    """As after the registry was restored from a backup that is older than the move."""
    top = await leader.make()
    (top / "file").write_text("kept")
    await leader.copied()
    await leader.flip()
    await leader.retired()

    refused = await leader.client.prepare(leader.record)

    assert f"it was moved from drive {leader.old} to drive {leader.new}" in refused["pvc-1"]
    (held,) = (await leader.client.held(leader.new)).volumes
    assert (held.stray_of, held.contested) == ("", False)
    leader.agent.kill()
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)
    await leader.client.stage("pvc-1", pods / "s", incarnation=INCARNATION, fsuuid=leader.old)
    assert (pods / "s/file").read_text() == "kept"


async def test_a_complete_copy_is_not_the_volume_for_a_leader_that_knows_of_no_move(leader: Leader) -> None:
    await leader.make()
    await leader.copied()
    (copy,) = (await leader.client.held(leader.new)).copies
    assert (copy.move, copy.incarnation) == (leader.id, INCARNATION)

    refused = await leader.client.prepare(replace(leader.record, fsuuid=leader.new))

    assert f"is of move {leader.id}, and the registry knows of none" in refused["pvc-1"]
    assert leader.copy.exists()
    assert not leader.path(leader.new).exists()


async def test_what_a_complete_copy_takes_is_told_by_this_agent_and_by_the_next_one(leader: Leader) -> None:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(32 * MIB))
    await leader.copied()
    (copy,) = (await leader.client.held(leader.new)).copies
    assert copy.size == leader.record.capacity, "all that the volume may take"
    leader.agent.kill()
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)
    (copy,) = (await leader.client.held(leader.new)).copies
    assert 32 * MIB <= copy.size <= leader.record.capacity


async def test_a_source_is_not_unsealed_once_the_other_drive_has_the_volume(leader: Leader) -> None:
    await leader.make()
    await leader.copied()
    await leader.flip()

    status = await leader.until(lambda each: bool(each.message), "it is refused", cancel=True)

    assert f"{leader.new}" in status.message
    held = await leader.client.held(leader.old)
    assert [(volume.stray_of, volume.sealed) for volume in held.volumes] == [(leader.new, leader.id)]


async def test_a_copy_whose_move_nobody_knows_is_told_and_removed_by_order(leader: Leader) -> None:
    top = await leader.make()
    (top / "large").write_bytes(os.urandom(32 * MIB))
    await leader.until(lambda each: each.done > 0, "it copies", limit=4 * MIB)
    leader.agent.kill()
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)
    (copy,) = (await leader.client.held(leader.new)).copies
    assert (copy.name, copy.move) == ("pvc-1", "")

    leader.id = "0" * 16
    await leader.cancelled()

    assert (await leader.client.held(leader.new)).copies == ()
    assert os.listdir(leader.copy.parent) == []
    assert (top / "large").stat().st_size == 32 * MIB
