"""Pages, filters and tokens."""

from typing import Any

import pytest

import directpv_common.messages as m
from directpv_common.errors import InvalidToken
from directpv_common.wire import encode
from directpv_controller.core import listing, paging
from directpv_controller.core.ledger import Ledger
from unit.controller.builders import GIB, committed, drive_record, ledger_of, on, place


def ledger_with_volumes(count: int) -> Ledger:
    ledger = ledger_of(drive_record(1000 * GIB), drive_record(1000 * GIB, node="n2"))
    for i in range(count):
        place(ledger, f"v{i:04}")
    return ledger


def all_volumes(ledger: Ledger, **asked: Any) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = listing.list_volumes(ledger, m.ListVolumes(token=token, **asked))
        found += [info.record.name for info in page.volumes]
        token = page.next
        if not token:
            return found


@pytest.mark.parametrize("limit", [1, 7, 99, 100, 101])
def test_pages_of_any_size_give_every_volume_once_in_order(limit: int) -> None:
    ledger = ledger_with_volumes(100)

    assert all_volumes(ledger, limit=limit) == [f"v{i:04}" for i in range(100)]
    assert len(listing.list_volumes(ledger, m.ListVolumes(limit=limit)).volumes) == min(limit, 100)


def test_without_a_limit_a_page_has_a_thousand_and_fits_into_one_message() -> None:
    ledger = ledger_with_volumes(1500)
    page = listing.list_volumes(ledger, m.ListVolumes())

    assert len(page.volumes) == 1000
    assert len(all_volumes(ledger)) == 1500


def test_a_page_of_large_records_ends_before_the_message_is_too_large() -> None:
    ledger = ledger_of(drive_record(1000 * GIB))
    for i in range(100):
        place(ledger, f"v{i:04}", parameters={"long": "x" * 20_000})

    assert len(encode(listing.list_volumes(ledger, m.ListVolumes()))) < 1_000_000
    assert len(all_volumes(ledger)) == 100


def test_a_token_stays_valid_when_its_volume_is_deleted_and_others_are_made() -> None:
    ledger = ledger_with_volumes(6)
    first = listing.list_volumes(ledger, m.ListVolumes(limit=3))
    committed(ledger.remove(ledger.volumes["v0002"]))
    place(ledger, "v0002a")

    rest = listing.list_volumes(ledger, m.ListVolumes(token=first.next))
    assert [info.record.name for info in rest.volumes] == ["v0002a", "v0003", "v0004", "v0005"]


@pytest.mark.parametrize("token", ["x", "0", "nonsense", "é", "djE6", "ZDE6YQ==", "=" * 4000])
def test_a_token_that_was_not_handed_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        listing.list_volumes(ledger_with_volumes(1), m.ListVolumes(token=token))


def test_volumes_being_deleted_are_not_listed() -> None:
    ledger = ledger_with_volumes(3)
    committed(ledger.mark(ledger.volumes["v0001"], deleting=True))

    assert all_volumes(ledger) == ["v0000", "v0002"]
    assert all_volumes(ledger, names=("v0001",)) == []


def test_every_filter_that_is_given_must_hold() -> None:
    first, second = drive_record(device="sda"), drive_record(device="sdb", node="n2")
    ledger = ledger_of(first, second)
    place(ledger, "v1", preferred=on("n1"))
    place(ledger, "v2", preferred=on("n2"))
    place(ledger, "v3", preferred=on("n2"))
    ledger.volumes["v3"].seen = GIB

    assert all_volumes(ledger, nodes=("n2",)) == ["v2", "v3"]
    assert all_volumes(ledger, drives=(first.fsuuid,)) == ["v1"]
    assert all_volumes(ledger, devices=("sdb",), names=("v1", "v2")) == ["v2"]
    assert all_volumes(ledger, nodes=("n2",), statuses=(m.VolumeStatus.READY,)) == ["v3"]
    assert all_volumes(ledger, nodes=("n1",), drives=(second.fsuuid,)) == []
    assert all_volumes(ledger, labels={"a": "b"}) == []
    assert all_volumes(ledger, names=("v9",)) == []


def test_drives_are_listed_by_id_and_filtered() -> None:
    drives = [
        drive_record(device="sda", labels={"a": "b"}),
        drive_record(device="sdb", node="n2"),
        drive_record(device="sda", node="n2", status=m.DriveStatus.LOST),
    ]
    ledger = ledger_of(*drives)

    def listed(**asked: Any) -> list[str]:
        return [info.record.fsuuid for info in listing.list_drives(ledger, m.ListDrives(**asked)).drives]

    ids = sorted(drive.fsuuid for drive in drives)
    assert listed() == ids
    assert listed(nodes=("n2",)) == sorted(drive.fsuuid for drive in drives[1:])
    assert listed(devices=("sda",), nodes=("n2",)) == [drives[2].fsuuid]
    assert listed(statuses=(m.DriveStatus.LOST,)) == [drives[2].fsuuid]
    assert listed(labels={"a": "b"}) == [drives[0].fsuuid]
    assert listed(ids=(drives[1].fsuuid, "unknown")) == [drives[1].fsuuid]
    first = listing.list_drives(ledger, m.ListDrives(limit=2))
    assert listed(token=first.next) == ids[2:]


def test_free_and_allocated_of_a_drive_make_its_total() -> None:
    ledger = ledger_of(drive_record())
    place(ledger)
    (info,) = listing.list_drives(ledger, m.ListDrives()).drives

    assert info.free + info.allocated == info.record.total
    assert info.volumes == 1


def test_a_filter_that_matches_nothing_ends_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "LOOK_AT_MOST", 40)
    ledger = ledger_with_volumes(100)
    page = listing.list_volumes(ledger, m.ListVolumes(statuses=(m.VolumeStatus.LOST,)))

    assert page.volumes == ()
    assert page.next
    assert all_volumes(ledger, statuses=(m.VolumeStatus.LOST,)) == []


@pytest.mark.parametrize(
    ("status", "use", "seen", "shown", "abnormal"),
    [
        (m.DriveStatus.READY, None, 0, m.VolumeStatus.PENDING, False),
        (m.DriveStatus.READY, None, GIB, m.VolumeStatus.READY, False),
        (m.DriveStatus.READY, m.VolumeUse(staged="/s", published=("/t",)), GIB, m.VolumeStatus.BOUND, False),
        (m.DriveStatus.ERROR, None, GIB, m.VolumeStatus.READY, True),
        (m.DriveStatus.LOST, None, GIB, m.VolumeStatus.LOST, True),
    ],
)
def test_the_status_of_a_volume_follows_its_drive_and_its_use(
    status: m.DriveStatus, use: m.VolumeUse | None, seen: int, shown: m.VolumeStatus, abnormal: bool
) -> None:
    ledger = ledger_of(drive_record())
    volume = place(ledger)
    volume.use, volume.seen = use, seen
    drive = next(iter(ledger.drives.values()))
    fault = (m.Condition(type=m.ConditionType.IO_ERROR, message="sector 7 cannot be read", since=""),)
    conditions = () if status is m.DriveStatus.READY else fault
    committed(
        ledger.set_drive(drive, m.DriveRecord(**{**_fields(drive.record), "status": status, "conditions": conditions}))
    )

    info = listing.volume_info(ledger, volume)
    assert (info.status, info.abnormal) == (shown, abnormal)
    assert ("sector 7" in info.condition) == abnormal


def test_a_volume_of_a_drive_that_serves_with_a_warning_is_abnormal_and_says_why() -> None:
    warning = m.Condition(type=m.ConditionType.FAILURE_PREDICTED, message="its spare blocks are used up", since="")
    ledger = ledger_of(drive_record(conditions=(warning,)))
    info = listing.volume_info(ledger, place(ledger))
    assert info.abnormal
    assert "FailurePredicted: its spare blocks are used up" in info.condition


def _fields(record: m.DriveRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
