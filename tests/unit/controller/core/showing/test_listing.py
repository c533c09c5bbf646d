"""Pages, filters and tokens."""

from typing import Any

import pytest
from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidToken
from directpv_common.protocol.wire import encode
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing import listing, paging
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


def test_volumes_being_deleted_are_listed_as_such_to_who_asks_for_them() -> None:
    ledger = ledger_with_volumes(3)
    committed(ledger.mark(ledger.volumes["v0001"], deleting=True))

    page = listing.list_volumes(ledger, m.ListVolumes(deleting=True))
    assert [info.status for info in page.volumes] == ["Pending", "Deleting", "Pending"]
    assert all_volumes(ledger, statuses=(m.VolumeStatus.DELETING,)) == ["v0001"]


def test_every_filter_that_is_given_must_hold() -> None:
    first, second = drive_record(device="sda"), drive_record(device="sdb", node="n2")
    ledger = ledger_of(first, second)
    place(ledger, "v1", preferred=on("n1"))
    place(ledger, "v2", preferred=on("n2"))
    place(ledger, "v3", preferred=on("n2"))
    ledger.volumes["v3"].use = m.VolumeUse(staged="/s")

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
    ("status", "use", "known", "shown", "abnormal"),
    [
        (m.DriveStatus.READY, None, {}, m.VolumeStatus.PENDING, False),
        (m.DriveStatus.READY, m.VolumeUse(staged="/s"), {}, m.VolumeStatus.READY, False),
        (m.DriveStatus.READY, None, {"used": True}, m.VolumeStatus.READY, False),
        (m.DriveStatus.READY, None, {"pod_name": "minio-0"}, m.VolumeStatus.READY, False),
        (m.DriveStatus.READY, m.VolumeUse(staged="/s", published=("/t",)), {}, m.VolumeStatus.BOUND, False),
        (m.DriveStatus.ERROR, None, {"used": True}, m.VolumeStatus.READY, True),
        (m.DriveStatus.LOST, None, {"used": True}, m.VolumeStatus.LOST, True),
    ],
)
def test_the_status_of_a_volume_follows_its_drive_and_its_use(
    status: m.DriveStatus, use: m.VolumeUse | None, known: dict[str, Any], shown: m.VolumeStatus, abnormal: bool
) -> None:
    """Pending is a volume only until it is staged for the first time: its directory on the drive is not what counts."""
    ledger = ledger_of(drive_record())
    volume = place(ledger)
    volume.record = replace(volume.record, **known)
    volume.use, volume.seen = use, GIB
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
    assert "DriveExpectsToFail: its spare blocks are used up" in info.condition


def _fields(record: m.DriveRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def spread(volumes: int) -> tuple[Ledger, list[m.DriveRecord]]:
    """Volumes over four drives of two nodes."""
    drives = [drive_record(1000 * GIB, node=f"n{number % 2}") for number in range(4)]
    records = [m.VolumeRecord(name=f"v{i:04}", fsuuid=drives[i % 4].fsuuid, capacity=GIB) for i in range(volumes)]
    return Ledger.load(Snapshot(drives, records), lambda: 0.5), drives


FILTERS = {
    "one node": lambda drives, names: {"nodes": ("n1",)},
    "both nodes": lambda drives, names: {"nodes": ("n0", "n1", "nowhere")},
    "one drive": lambda drives, names: {"drives": (drives[0].fsuuid,)},
    "drives, one of another node": lambda drives, names: {"drives": tuple(d.fsuuid for d in drives), "nodes": ("n0",)},
    "names": lambda drives, names: {"names": (*names[::3], "nothing")},
    "names of a node": lambda drives, names: {"names": tuple(names), "nodes": ("n1",)},
}


@pytest.mark.parametrize("asked", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("look", [7, 20_000])
def test_a_filter_gives_the_same_whether_an_index_or_a_walk_answers_it(
    monkeypatch: pytest.MonkeyPatch, asked: Any, look: int
) -> None:
    monkeypatch.setattr(paging, "LOOK_AT_MOST", look)
    ledger, drives = spread(100)
    wanted = asked(drives, sorted(ledger.volumes))
    expected = [
        name
        for name, volume in sorted(ledger.volumes.items())
        if name in wanted.get("names", (name,))
        and volume.record.fsuuid in wanted.get("drives", (volume.record.fsuuid,))
        and ledger.drives[volume.record.fsuuid].record.node in wanted.get("nodes", ("n0", "n1"))
    ]

    assert all_volumes(ledger, **wanted) == expected
    assert all_volumes(ledger, **wanted, limit=3) == expected


@pytest.mark.parametrize("asked", [{"nodes": ("n0", "n1")}, {"nodes": ("n1",)}, {}])
def test_drives_are_the_same_whether_an_index_or_a_walk_gives_them(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    ledger, _ = spread(0)
    expected = listing.list_drives(ledger, m.ListDrives(**asked)).drives
    monkeypatch.setattr(paging, "LOOK_AT_MOST", 1)
    found: list[m.DriveInfo] = []
    token = ""
    while page := listing.list_drives(ledger, m.ListDrives(token=token, **asked)):
        found += page.drives
        token = page.next
        if not token:
            break

    assert tuple(found) == expected


class Counted(dict):  # type: ignore[type-arg]
    """Counts who is looked up."""

    looked = 0

    def __getitem__(self, key: str) -> Any:
        self.looked += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("asked", FILTERS.values(), ids=FILTERS)
def test_a_page_looks_at_a_bounded_number_of_volumes_whatever_the_filter(
    monkeypatch: pytest.MonkeyPatch, asked: Any
) -> None:
    monkeypatch.setattr(paging, "LOOK_AT_MOST", 50)
    ledger, drives = spread(2_000)
    ledger.volumes = Counted(ledger.volumes)
    sorted_at_once: list[int] = []
    monkeypatch.setattr(listing, "sorted", lambda keys: sorted_at_once.append(1) or sorted(keys), raising=False)
    page = listing.list_volumes(ledger, m.ListVolumes(limit=1, **asked(drives, sorted(ledger.volumes))))

    assert ledger.volumes.looked <= 50
    assert not sorted_at_once, "so many are not sorted for one page"
    assert page.next


def test_drives_that_are_not_ready_are_listed_in_whatever_state_they_are() -> None:
    ready, lost, later = drive_record(), drive_record(status=m.DriveStatus.LOST), drive_record()
    ledger = ledger_of(ready, lost, replace(later, status=m.DriveStatus("Resting")))

    page = listing.list_drives(ledger, m.ListDrives(unwell=True))
    assert [info.record.fsuuid for info in page.drives] == [lost.fsuuid, later.fsuuid]
    assert len(listing.list_drives(ledger, m.ListDrives()).drives) == 3
