"""When a drive may be given up, and wiped."""

from itertools import pairwise
from typing import Any

import pytest

from directpv_common.protocol.errors import Busy, FailedPrecondition, InvalidRequest
from directpv_common.protocol.messages import DriveRecord, DriveStatus, VolumeRecord, Wipe
from directpv_common.protocol.units import GIB, MIB
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core import release, standing
from directpv_nodeagent.drives.core.standing import Verdict
from directpv_nodeagent.drives.filesystem.wiping import BEGINNING, PIECE, pieces
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView

ID = "7f0d3a5c-0000-4000-8000-000000000001"


def drive(status: DriveStatus = DriveStatus.READY, *volumes: str, purging: tuple[str, ...] = ()) -> Drive:
    record = DriveRecord(fsuuid=ID, node="n1", total=2 * GIB, overhead=MIB, device="sda", status=status)
    held = {name: VolumeRecord(name=name, fsuuid=ID, capacity=MIB) for name in volumes}
    view = DriveView("/root", ID, "8:0", "sda", enforced=True)
    return Drive(Contents(view, record, held, {}, {}, dict.fromkeys(purging, MIB)))


def device(**facts: Any) -> DeviceFacts:
    return DeviceFacts(**{"name": "sda", "major_minor": "8:0", "size": 2 * GIB} | facts)


@pytest.mark.parametrize("status", [DriveStatus.READY, DriveStatus.LOST, DriveStatus.ERROR, DriveStatus.REMOVED])
def test_a_drive_without_volumes_may_be_given_up_however_it_is(status):
    release.check_drive(drive(status), [])


@pytest.mark.parametrize("status", [DriveStatus.REPAIRING, DriveStatus.MOVING])
def test_a_drive_that_somebody_works_on_is_kept(status):
    with pytest.raises(FailedPrecondition, match=f"{status}; wait"):
        release.check_drive(drive(status), [])


def test_a_drive_with_volumes_is_kept_and_they_are_named():
    with pytest.raises(FailedPrecondition, match=r"volumes on it \(pvc-1, pvc-2\)"):
        release.check_drive(drive(DriveStatus.READY, "pvc-2", "pvc-1"), [])


def test_what_ends_by_itself_is_waited_for():
    with pytest.raises(Busy, match="still being deleted"):
        release.check_drive(drive(purging=("pvc-1",)), [])
    with pytest.raises(Busy, match="prepare of pvc-1"):
        release.check_drive(drive(), ["prepare of pvc-1"])


def test_of_several_devices_none_is_meant_and_one_that_is_being_read_is_waited_for():
    assert release.the_device(ID, []) is None
    assert release.the_device(ID, [device()]) == device()
    with pytest.raises(FailedPrecondition, match="sda, sdb carry"):
        release.the_device(ID, [device(), device(name="sdb")])
    with pytest.raises(Busy):
        release.the_device(ID, [device(pending=True)])


def test_nothing_is_wiped_that_could_not_be_read_or_holds_what_nobody_explains():
    release.check_wipeable(device(), Wipe.NONE, ["found"], read=False)
    release.check_wipeable(device(), Wipe.ZERO, [], read=True)
    with pytest.raises(FailedPrecondition, match="--wipe=none"):
        release.check_wipeable(device(), Wipe.ZERO, [], read=False)
    with pytest.raises(FailedPrecondition, match="found"):
        release.check_wipeable(device(), Wipe.DISCARD, ["found"], read=True)


def test_a_way_of_wiping_that_a_later_version_has_is_refused():
    with pytest.raises(InvalidRequest, match="shred is unknown"):
        release.check_wipe(Wipe("shred"))


def test_a_drive_whose_record_says_that_it_was_given_up_is_nobodys_on_whatever_node():
    record = DriveRecord(fsuuid=ID, node="n1", total=GIB, overhead=MIB, retired="2026-11-22T10:00:00Z")
    assert standing.verdict("n1", ID, ID, record) is Verdict.RETIRED
    assert standing.verdict("n2", ID, ID, record) is Verdict.RETIRED


@pytest.mark.parametrize("size", [MIB, BEGINNING, BEGINNING + 1, PIECE, 3 * PIECE + 5 * MIB])
def test_all_of_a_device_is_wiped_once_and_its_beginning_last(size):
    found = list(pieces(size))

    assert found[-1] == (0, min(size, BEGINNING))
    assert sum(length for _, length in found) == size
    ends = sorted((offset, offset + length) for offset, length in found)
    assert all(one[1] == other[0] for one, other in pairwise(ends))
