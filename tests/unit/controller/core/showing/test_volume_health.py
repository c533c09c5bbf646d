"""What the leader says of the health of volumes."""

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidToken, NotFound
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing import health, listing, paging
from unit.controller.builders import GIB, NOW, committed, drive_record, ledger_of, on, place

LOST = m.Condition(type=m.ConditionType.LOST, message="gone", since=NOW)


def two_drives() -> Ledger:
    """Twenty volumes on n1, ten on n2."""
    ledger = ledger_of(drive_record(1000 * GIB), drive_record(1000 * GIB, node="n2"))
    for i in range(30):
        place(ledger, f"v{i:02}", requisite=on("n1" if i < 20 else "n2"))
    return ledger


def lose(ledger: Ledger, node: str) -> None:
    (drive,) = ledger.nodes[node].drives.values()
    record = msgspec.structs.replace(drive.record, status=m.DriveStatus.LOST, conditions=(LOST,))
    committed(ledger.set_drive(drive, record))


def unwell(ledger: Ledger, limit: int = 0) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = health.list_volume_health(ledger, m.ListVolumeHealth(token=token, limit=limit))
        found += [each.name for each in page.volumes]
        assert all(each.ailments for each in page.volumes)
        token = page.next
        if not token:
            return found


def test_no_volume_is_listed_while_all_are_well() -> None:
    assert unwell(two_drives()) == []


@pytest.mark.parametrize("limit", [0, 1, 7, 10, 11])
def test_pages_of_any_size_give_the_volumes_of_an_unwell_drive_once_and_no_others(limit: int) -> None:
    ledger = two_drives()
    lose(ledger, "n2")

    assert unwell(ledger, limit) == [f"v{i:02}" for i in range(20, 30)]


@pytest.mark.parametrize("limit", [1, 7, 19, 20, 21])
def test_pages_go_on_over_several_unwell_drives(limit: int) -> None:
    ledger = two_drives()
    lose(ledger, "n1")
    lose(ledger, "n2")

    assert sorted(unwell(ledger, limit)) == [f"v{i:02}" for i in range(30)]


def test_a_volume_of_a_lost_drive_is_inaccessible_and_one_of_a_silent_node_too() -> None:
    ledger = two_drives()
    lose(ledger, "n1")
    ledger.set_offline("n2", True)

    def told(name: str) -> list[tuple[str, str]]:
        found = health.volume_health(ledger, m.GetVolumeHealth(name=name))
        return [(each.effect.value, each.reason) for each in found.ailments]

    assert told("v00") == [("Inaccessible", "DriveLost")]
    assert told("v29") == [("Inaccessible", "NodeOffline")]
    assert sorted(unwell(ledger)) == sorted(ledger.volumes)


def test_the_old_and_the_new_word_for_health_agree() -> None:
    ledger = two_drives()
    lose(ledger, "n1")

    for name, volume in ledger.volumes.items():
        found = health.volume_health(ledger, m.GetVolumeHealth(name=name))
        assert bool(found.ailments) == listing.volume_info(ledger, volume).abnormal


def test_a_volume_that_is_being_deleted_is_not_listed() -> None:
    ledger = two_drives()
    lose(ledger, "n2")
    committed(ledger.mark(ledger.volumes["v25"], deleting=True))

    assert "v25" not in unwell(ledger)


def test_a_volume_that_does_not_exist_is_said_not_to() -> None:
    with pytest.raises(NotFound):
        health.volume_health(two_drives(), m.GetVolumeHealth(name="other"))


def test_a_token_of_another_list_is_refused() -> None:
    ledger = two_drives()
    token = listing.list_volumes(ledger, m.ListVolumes(limit=1)).next

    with pytest.raises(InvalidToken):
        health.list_volume_health(ledger, m.ListVolumeHealth(token=token))


def test_a_page_looks_at_a_bounded_number_of_drives_and_pages_reach_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paging, "LOOK_AT_MOST", 10)
    ledger = ledger_of(*(drive_record(1000 * GIB, node=f"n{number}") for number in range(95)))
    for number in range(95):
        place(ledger, f"v{number:02}", requisite=on(f"n{number}"))
    for number in (0, 50, 94):
        lose(ledger, f"n{number}")
    looked: list[str] = []
    original = health.is_unwell
    monkeypatch.setattr(health, "is_unwell", lambda drive: looked.append(drive.fsuuid) or original(drive))

    health.list_volume_health(ledger, m.ListVolumeHealth())
    assert len(looked) <= 11
    assert unwell(ledger) == ["v00", "v50", "v94"]
