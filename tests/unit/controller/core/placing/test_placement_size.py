"""How large a volume becomes, and which project it gets."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest, NoCapacity
from directpv_common.protocol.names import project_id
from directpv_controller.core.placing.explain import REASONS
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing.listing import capacity
from unit.controller.builders import GIB, drive_record, home, ledger_of, on, place

# ---- project ids and sizes


def colliding_names() -> tuple[str, str]:
    """Two volume names with one project id (first four bytes of SHA-256), found by search."""
    return "pvc-76702", "pvc-119619"


def test_project_ids_are_those_of_existing_volumes() -> None:
    assert project_id("pvc-00000000-0000-0000-0000-000000000001") == 96662294
    assert project_id("pvc-11111111-2222-3333-4444-555555555555") == 3586869188


def test_two_volumes_with_one_project_id_never_share_a_drive() -> None:
    first, second = colliding_names()
    assert project_id(first) == project_id(second)
    ledger = ledger_of(drive_record(10 * GIB), drive_record(2 * GIB))

    assert home(ledger, first) != home(ledger, second)
    with pytest.raises(NoCapacity, match="same XFS project id"):
        place(ledger_with_only_drive_of(first), second)


def ledger_with_only_drive_of(name: str) -> Ledger:
    ledger = ledger_of(drive_record())
    place(ledger, name)
    return ledger


def test_without_a_lower_bound_the_volume_takes_all_that_the_drive_has_free() -> None:
    assert place(ledger_of(drive_record(7 * GIB)), required=0).record.capacity == 7 * GIB


def test_without_a_lower_bound_the_limit_still_holds() -> None:
    assert place(ledger_of(drive_record(7 * GIB)), required=0, limit=2 * GIB).record.capacity == 2 * GIB


def test_the_least_size_is_given_when_there_is_one() -> None:
    assert place(ledger_of(drive_record()), required=GIB, limit=5 * GIB).record.capacity == GIB


@pytest.mark.parametrize(("required", "limit"), [(2, 1), (2**63 - 1, 2**63 - 2)])
def test_a_range_that_no_size_satisfies_is_refused(required: int, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="capacity_range"):
        place(ledger_of(drive_record()), required=required, limit=limit)


def test_a_name_that_means_a_volume_being_purged_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\.deleted"):
        place(ledger_of(drive_record()), "v1.deleted")


# ---- refusals and capacity


def test_a_refusal_counts_the_reasons() -> None:
    ledger = ledger_of(
        drive_record(unschedulable=True),
        drive_record(unschedulable=True),
        drive_record(3 * GIB + GIB // 5),
        drive_record(status=m.DriveStatus.LOST),
    )

    with pytest.raises(NoCapacity) as refusal:
        place(ledger, "pvc-1", 8 * GIB, requisite=on("n1", "n9"))
    assert refusal.value.message == (
        "no drive can hold volume pvc-1 (8 GiB): 4 drives on n1: 2 cordoned, 1 lost, "
        "1 has 3.19 GiB free of 8 GiB asked; no drives on n9"
    )


@pytest.mark.parametrize(
    ("reason", "drive", "asked"),
    [
        ("TooSmall", {}, {}),
        ("Cordoned", {"unschedulable": True}, {}),
        ("Suspended", {"labels": {names.SUSPEND: "true"}}, {}),
        ("Lost", {"status": m.DriveStatus.LOST}, {}),
        ("Label", {}, {"parameters": {"directpv.min.io/rack-door": "left"}}),
        ("NoDrives", {}, {"requisite": on("n9")}),
    ],
)
def test_a_refusal_has_one_word_that_metrics_count_from_the_beginning(
    reason: str, drive: dict[str, Any], asked: dict[str, Any]
) -> None:
    ledger = ledger_of(drive_record(GIB, **drive), drive_record(GIB, **drive))

    with pytest.raises(NoCapacity) as refusal:
        place(ledger, "pvc-1", 8 * GIB, **asked)

    assert refusal.value.details["reason"] == reason
    assert reason in REASONS


def test_capacity_is_the_sum_of_open_drives_and_the_largest_of_them() -> None:
    zone = {names.ZONE: "z1"}
    ledger = ledger_of(
        drive_record(5 * GIB, topology=zone),
        drive_record(3 * GIB, node="n2"),
        drive_record(99 * GIB, unschedulable=True),
    )
    place(ledger, required=GIB)

    def asked(**request: Any) -> tuple[int, int]:
        found = capacity(ledger, m.GetCapacity(**request))
        return found.available, found.maximum

    assert asked() == (7 * GIB, 4 * GIB)
    assert asked(accessible=zone) == (4 * GIB, 4 * GIB)
    assert asked(accessible={names.NODE: "n2"}) == (3 * GIB, 3 * GIB)
    assert asked(accessible={names.NODE: "n9"}) == (0, 0)
    assert asked(parameters={names.ACCESS_TIER: "cold"}) == (0, 0)
