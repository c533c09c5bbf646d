"""What a node says of the health of its drives, from memory."""

import asyncio
from typing import cast

import pytest

from directpv_common.protocol.errors import NotFound, Unavailable
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveRecord,
    DriveStatus,
    Empty,
    GetVolumeHealth,
    VolumeRecord,
)
from directpv_common.protocol.reasons import AT_MOST
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.renewal import Renewal
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.linux.executor import DriveExecutors
from directpv_nodeagent.serving.health import Healths

READY, LOST, ERROR = DriveStatus.READY, DriveStatus.LOST, DriveStatus.ERROR


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def drive(number: int, status: DriveStatus = READY, *kinds: ConditionType) -> Drive:
    conditions = tuple(Condition(type=kind, message=f"since {number} s", since="t") for kind in kinds)
    record = DriveRecord(fsuuid=uuid(number), node="n1", total=1000, overhead=10, status=status, conditions=conditions)
    volume = VolumeRecord(name=f"pvc-{number}", fsuuid=uuid(number), capacity=1)
    view = DriveView("/root", uuid(number), "8:16", "sdb", enforced=True)
    return Drive(Contents(view, record, {volume.name: volume}, {}, {}, {}))


def node(*known: Drive, scanned: bool = True) -> Healths:
    nothing = cast(Renewal, None)
    drives = Drives(Host("n1", "/root", {}, quota_required=False), Prober(), DriveExecutors(), nothing, print)
    drives.by_id = {each.fsuuid: each for each in known}
    drives.scanned = scanned
    return Healths(drives)


def storage(*known: Drive) -> list[tuple[str, str]]:
    found = asyncio.run(node(*known).node(Empty()))
    return [(each.effect.value, each.reason) for each in found.ailments]


def test_drives_with_the_same_trouble_are_one_condition_of_the_node() -> None:
    lost = [drive(n, LOST, ConditionType.LOST) for n in range(3)]

    assert storage(*lost, *(drive(n) for n in range(3, 24))) == [("Degraded", "DriveLost")]


def test_a_node_none_of_whose_drives_serves_is_out_of_reach() -> None:
    assert storage(drive(1, LOST, ConditionType.LOST), drive(2, ERROR, ConditionType.IO_ERROR)) == [
        ("Inaccessible", "DriveLost"),
        ("Inaccessible", "DriveHasIOError"),
    ]


def test_a_warning_is_told_beside_what_is_out_of_reach() -> None:
    assert storage(drive(1, LOST, ConditionType.LOST, ConditionType.SLOW)) == [
        ("Inaccessible", "DriveLost"),
        ("Degraded", "DriveIsSlow"),
    ]


def test_a_node_that_is_well_or_has_no_drives_says_nothing() -> None:
    assert storage() == []
    assert storage(drive(1), drive(2)) == []


def test_a_node_never_says_more_than_kubelet_takes() -> None:
    strange = [drive(n, READY, ConditionType(f"Kind{n}")) for n in range(40)]

    found = storage(*strange, drive(99, LOST, ConditionType.LOST))

    assert len(found) == AT_MOST
    assert found[0] == ("Degraded", "DriveLost")


def test_what_a_node_says_stays_the_same_when_one_more_drive_has_the_same_trouble() -> None:
    """kubelet does not write a condition of which only the message changed."""
    lost = [drive(n, LOST, ConditionType.LOST) for n in range(2)]

    def said(*known: Drive) -> list[str]:
        return [each.message for each in asyncio.run(node(*known).node(Empty())).ailments]

    assert said(lost[0], drive(9)) == said(*lost, drive(9))


async def test_a_volume_that_kubelet_knows_here_and_no_drive_has_is_on_a_drive_that_is_gone() -> None:
    found = await node(drive(1)).volume(GetVolumeHealth(name="pvc-9", paths=("/pods/x",)))

    assert [(each.effect.value, each.reason) for each in found.ailments] == [("Inaccessible", "DriveLost")]


async def test_a_volume_that_nobody_uses_here_is_unknown() -> None:
    with pytest.raises(NotFound):
        await node(drive(1)).volume(GetVolumeHealth(name="pvc-9"))


async def test_nothing_is_concluded_before_all_drives_were_looked_at() -> None:
    starting = node(scanned=False)

    with pytest.raises(Unavailable):
        await starting.volume(GetVolumeHealth(name="pvc-1", paths=("/pods/x",)))
    with pytest.raises(Unavailable):
        await starting.node(Empty())


async def test_a_volume_of_which_nobody_knows_which_drive_has_it_is_inaccessible() -> None:
    one, other = drive(1), drive(2)
    other.put(VolumeRecord(name="pvc-1", fsuuid=uuid(2), capacity=1))

    found = await node(one, other).volume(GetVolumeHealth(name="pvc-1"))

    assert [each.reason for each in found.ailments] == ["VolumeContested"]


async def test_a_volume_that_a_container_keeps_from_before_its_drive_was_away_is_degraded() -> None:
    known = drive(1)
    known.left_behind = {"pvc-1": ["17 (sleep)"]}

    found = await node(known).volume(GetVolumeHealth(name="pvc-1"))

    assert [(each.effect.value, each.reason) for each in found.ailments] == [("Degraded", "VolumeLeftBehind")]
    known.left_behind = {}
    assert (await node(known).volume(GetVolumeHealth(name="pvc-1"))).ailments == ()


async def test_a_drive_that_is_gone_is_told_of_and_not_who_has_its_volumes_from_before() -> None:
    known = drive(1, LOST, ConditionType.LOST)
    known.left_behind = {"pvc-1": ["17 (sleep)"]}

    found = await node(known).volume(GetVolumeHealth(name="pvc-1"))

    assert [each.reason for each in found.ailments] == ["DriveLost"]
