"""What was copied becomes the volume; an agent that dies on the way leaves nothing of which nobody is told."""

import os

from msgspec.structs import replace

from directpv_common.protocol.messages import HeldCopy
from integration.nodeagent.moving.moving import INCARNATION, Leader
from support.node_client import eventually


async def test_a_volume_that_was_moved_is_no_copy_any_more(leader: Leader) -> None:
    (await leader.make() / "file").write_text("data")
    await leader.copied()
    await leader.flip()

    assert (leader.path(leader.new) / "file").read_text() == "data"
    assert "trusted.directpv.copied" not in os.listxattr(leader.path(leader.new))


async def test_a_copy_that_a_killed_agent_left_in_the_volumes_place_is_told_and_goes_with_its_move(
    leader: Leader,
) -> None:
    """Its registry was set back meanwhile: the move never flipped there, and people take it back."""
    (await leader.make() / "file").write_text("data")
    await leader.copied()
    leader.agent.kill()
    os.rename(leader.copy, leader.path(leader.new))
    leader.agent.start(*leader.agent.devices)
    await leader.agent.answers(leader.client)

    async def told() -> bool:
        held = await leader.client.held(leader.new)
        copies = [replace(copy, size=0) for copy in held.copies]
        return copies == [HeldCopy(name="pvc-1", move=leader.id, incarnation=INCARNATION)]

    await eventually(told, "it is told as a copy")
    await leader.cancelled()
    assert not leader.copy.exists()
    assert not leader.path(leader.new).exists()
    assert (leader.path(leader.old) / "file").read_text() == "data"
    held = await leader.client.held(leader.old)
    assert [(each.sealed, each.stray_of) for each in held.volumes] == [("", "")]
