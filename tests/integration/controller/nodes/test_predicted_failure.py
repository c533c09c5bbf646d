"""Drives whose disks expect to fail, with the policy to cordon them: leaders and agents come and go, people decide."""

from collections.abc import Callable
from pathlib import Path

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from integration.controller.harness import Controller, read_registry, until
from integration.controller.node import PlayedNode

Start = Callable[..., Controller]


async def shown(bus: Bus, fsuuid: str) -> m.DriveRecord | None:
    page = await bus.call(Api.DRIVE_LIST, m.ListDrives(ids=(fsuuid,)), within=20, attempt=1.0)
    return page.drives[0].record if page.drives else None


async def observe(bus: Bus, node: PlayedNode, fsuuid: str, *kinds: m.ConditionType) -> m.DriveRecord:
    """Let the node see these conditions, and return the drive once the leader knows of them."""
    conditions = tuple(m.Condition(type=kind, message=f"seen: {kind}", since="") for kind in kinds)
    drive = node.drives[fsuuid]
    drive.record = msgspec.structs.replace(drive.record, conditions=conditions)
    drive.generation += 1

    async def known() -> m.DriveRecord | None:
        record = await shown(bus, fsuuid)
        return record if record is not None and record.conditions == conditions else None

    record: m.DriveRecord = await until(known, f"the leader knows of {kinds}")
    return record


async def uncordon(bus: Bus, fsuuid: str) -> None:
    await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, unschedulable=False), within=20, attempt=1.0)


async def test_it_is_cordoned_durably_and_a_person_who_uncordons_it_has_the_last_word(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    leader = controllers(on_predicted_failure="cordon")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: shown(bus, fsuuid), "the drive is known")
        record = await observe(bus, node, fsuuid, m.ConditionType.FAILURE_PREDICTED)
        assert record.unschedulable
        await until(lambda: read_registry(tmp_path / "registry.db").drives[0].unschedulable, "it is durable")
        await until(lambda: node.drives[fsuuid].record.unschedulable, "the drive itself is told")

        await uncordon(bus, fsuuid)
        await until(lambda: not node.drives[fsuuid].record.unschedulable, "the drive itself is told")
        leader.kill()
        controllers("c2", on_predicted_failure="cordon")
        node.restart()
        await observe(bus, node, fsuuid)
        record = await observe(bus, node, fsuuid, m.ConditionType.FAILURE_PREDICTED)
        assert not record.unschedulable


async def test_it_is_only_reported_unless_the_policy_says_more(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: shown(bus, fsuuid), "the drive is known")
        assert not (await observe(bus, node, fsuuid, m.ConditionType.FAILURE_PREDICTED)).unschedulable
