"""What many records have in common is one object in memory, and nobody's who could change it."""

import pytest
from msgspec.structs import replace

from directpv_common.protocol import names
from directpv_common.protocol.messages import DriveRecord, KeptPv, VolumeRecord
from directpv_common.protocol.wire import decode, encode
from directpv_controller.core.reserving.sharing import Shared
from unit.controller.builders import CLAIM, GIB, drive_record, ledger_of, place, volume_record


def read_drives(*records: DriveRecord) -> list[DriveRecord]:
    """Return the records as a registry reads them: nothing is the same object."""
    shared, found = Shared(), [decode(encode(record), DriveRecord) for record in records]
    for record in found:
        shared.drive(record)
    return found


def read_volumes(*records: VolumeRecord) -> list[VolumeRecord]:
    shared, found = Shared(), [decode(encode(record), VolumeRecord) for record in records]
    for record in found:
        shared.volume(record)
    return found


def test_drives_of_one_node_share_its_name_and_place_and_stay_what_they_are() -> None:
    place_of = {names.RACK: "r1", names.ZONE: "z1"}
    given = [drive_record(GIB * size, topology=place_of, make="Acme") for size in (1, 2)]
    one, other = read_drives(*given)

    assert (one.node, one.topology, one.make) == (other.node, other.topology, other.make)
    assert (id(one.node), id(one.topology), id(one.make)) == (id(other.node), id(other.topology), id(other.make))
    assert [one, other] == given


def test_places_labels_and_what_differs_are_not_confused() -> None:
    given = [
        drive_record(topology={"a": "b"}),
        drive_record(topology={"a": "c"}),
        drive_record(topology={}, labels={"a": "b"}),
    ]

    assert read_drives(*given) == given


def test_volumes_of_one_class_share_it_and_those_without_parameters_share_that() -> None:
    kept = KeptPv(storage_class="fast", reclaim_policy="Retain")
    drive = drive_record()
    given = [volume_record(f"v{number}", drive, pv=replace(kept)) for number in range(2)]
    one, other = read_volumes(*given)

    assert one.pv is other.pv
    assert (id(one.fsuuid), id(one.parameters)) == (id(other.fsuuid), id(other.parameters))
    assert [one, other] == given


def test_a_drive_that_gets_its_first_claim_changes_no_other() -> None:
    ledger = ledger_of(drive_record(), drive_record())
    first = place(ledger, "v1", parameters={names.VOLUME_CLAIM_ID: CLAIM})
    second = place(ledger, "v2", parameters={names.VOLUME_CLAIM_ID: CLAIM})

    assert first.record.fsuuid != second.record.fsuuid
    assert [drive.claims for drive in ledger.drives.values()] == [{CLAIM: 1}, {CLAIM: 1}]
    assert ledger.check() == []
    with pytest.raises(TypeError):
        ledger_of(drive_record()).drives.popitem()[1].claims["x"] = 1
