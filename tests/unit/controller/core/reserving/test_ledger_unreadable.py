"""Records of volumes and drives that cannot be read: their room is kept until their node tells what they were."""

import random

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import (
    Unavailable,
)
from directpv_controller.core.placing.model import Snapshot, Unreadable
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.reconcile import change_of, take_in
from unit.controller.builders import GIB, committed, drive_record, held
from unit.controller.creating import create


def with_unreadable_volume(drive: m.DriveRecord, capacity: int = 6 * GIB) -> Ledger:
    bad = Unreadable("volume", "bad", "nonsense", drive.fsuuid, capacity)
    return Ledger.load(Snapshot([drive], [], unreadable=[bad]), random.Random(2).random)


def test_a_volume_whose_record_cannot_be_read_is_neither_made_anew_nor_taken_to_be_gone() -> None:
    ledger = with_unreadable_volume(drive_record())

    for refused in (
        lambda: create(ledger, "bad"),
        lambda: ledger.volume("bad"),
        lambda: ledger.require_readable("bad"),
        lambda: ledger.expand(m.ExpandVolume(name="bad", required=GIB)),
    ):
        with pytest.raises(Unavailable, match="nonsense"):
            refused()


def test_its_room_is_kept_until_its_drive_tells_of_it_and_then_all_is_well() -> None:
    record = drive_record(10 * GIB)
    ledger = with_unreadable_volume(record)
    drive = ledger.drives[record.fsuuid]
    assert drive.free == 4 * GIB

    found = m.VolumeRecord(name="bad", fsuuid=record.fsuuid, capacity=5 * GIB)
    outcome = take_in(ledger, record.node, "boot", held(drive, found))
    committed(change_of(ledger, [outcome]))

    assert (drive.free, ledger.volume("bad").record, ledger.unreadable) == (5 * GIB, found, {})
    assert ledger.check() == []


def test_a_commit_that_fails_leaves_it_as_it_was() -> None:
    record = drive_record()
    ledger = with_unreadable_volume(record)
    ledger.adopt(ledger.drives[record.fsuuid], m.VolumeRecord(name="bad", fsuuid=record.fsuuid, capacity=GIB)).undo()

    with pytest.raises(Unavailable):
        create(ledger, "bad")


def test_a_drive_whose_record_cannot_be_read_is_registered_when_its_node_reports_it() -> None:
    record = drive_record()
    snapshot = Snapshot([], [], unreadable=[Unreadable("drive", record.fsuuid, "nonsense")])
    ledger = Ledger.load(snapshot, random.Random(2).random)
    change = ledger.register(record)
    assert ledger.unreadable

    change.done()
    assert ledger.unreadable == {}
