"""Which drive gets the volume: design 5; upstream's drive selection; CSI CreateVolume, TopologyRequirement."""

from collections import Counter
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import NoCapacity
from directpv_controller.core.showing.listing import capacity
from unit.controller.builders import GIB, committed, drive_record, home, ledger_of, on, place


def test_the_drive_with_most_free_bytes_is_chosen() -> None:
    small, large = drive_record(5 * GIB), drive_record(9 * GIB)

    assert home(ledger_of(small, large)) == large.fsuuid


def test_a_reservation_counts_for_the_next_choice() -> None:
    ledger = ledger_of(drive_record(10 * GIB), drive_record(9 * GIB))

    assert home(ledger, "v1", 3 * GIB) != home(ledger, "v2", GIB)


def test_equal_drives_are_chosen_at_random() -> None:
    drives = [drive_record() for _ in range(4)]
    chosen = Counter(home(ledger_of(*drives, seed=seed)) for seed in range(200))

    assert chosen.keys() == {drive.fsuuid for drive in drives}
    assert min(chosen.values()) > 20


@pytest.mark.parametrize("term", [pytest.param((), id="anywhere"), pytest.param(on("n1"), id="on its node")])
def test_a_drive_takes_no_volume_while_its_node_is_offline(term: tuple[dict[str, str], ...]) -> None:
    ledger = ledger_of(drive_record(node="n1"), drive_record(node="n2"))
    ledger.set_offline("n2", True)
    ledger.set_offline("n1", True)
    with pytest.raises(NoCapacity, match="offline"):
        place(ledger, requisite=term)
    assert capacity(ledger, m.GetCapacity()).available == 0
    assert not ledger.check()

    ledger.set_offline("n1", False)

    assert place(ledger, requisite=term).record.fsuuid in ledger.nodes["n1"].drives
    assert not ledger.check()


def test_a_volume_may_take_the_last_byte_but_not_one_more() -> None:
    drive = drive_record(5 * GIB)

    assert home(ledger_of(drive), required=5 * GIB) == drive.fsuuid
    with pytest.raises(NoCapacity):
        place(ledger_of(drive), required=5 * GIB + 1)


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param({"unschedulable": True}, id="cordoned"),
        pytest.param({"labels": {names.SUSPEND: "true"}}, id="suspended"),
        *(pytest.param({"status": s}, id=f"status {s}") for s in m.DriveStatus if s is not m.DriveStatus.READY),
    ],
)
@pytest.mark.parametrize("term", [pytest.param((), id="anywhere"), pytest.param(on("n1"), id="on its node")])
def test_a_drive_takes_no_volume_while_it_is(unfit: dict[str, Any], term: tuple[dict[str, str], ...]) -> None:
    ledger = ledger_of(drive_record(**unfit))

    with pytest.raises(NoCapacity):
        place(ledger, requisite=term)


def test_a_drive_takes_volumes_only_once_its_registration_is_committed() -> None:
    ledger = ledger_of()
    change = ledger.register(drive_record())

    with pytest.raises(NoCapacity, match="being registered"):
        place(ledger)
    change.done()
    place(ledger)


def test_a_cordon_takes_effect_at_once_and_ends_with_uncordon() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger, "before")

    for unschedulable in (True, False):
        committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, unschedulable=unschedulable))[1])
        if unschedulable:
            with pytest.raises(NoCapacity, match="1 cordoned"):
                place(ledger)
    place(ledger)


# ---- topology


def test_topology_terms_are_alternatives() -> None:
    right = drive_record(2 * GIB, node="n2")

    assert home(ledger_of(drive_record(node="n1"), right), requisite=on("n2", "n3")) == right.fsuuid


def test_every_segment_of_a_term_must_hold() -> None:
    ledger = ledger_of(drive_record(node="n1", topology={names.ZONE: "z1"}))

    with pytest.raises(NoCapacity):
        place(ledger, requisite=({names.NODE: "n1", names.ZONE: "z2"},))
    place(ledger, requisite=({names.NODE: "n1", names.ZONE: "z1"},))


def test_preferred_terms_are_tried_in_order_even_if_others_have_more_space() -> None:
    large, second, first = (drive_record(size * GIB, node=node) for size, node in ((9, "n1"), (5, "n2"), (2, "n3")))
    ledger = ledger_of(large, second, first)
    asked = {"preferred": on("n3", "n2"), "requisite": on("n1", "n2", "n3")}

    assert home(ledger, "v1", 2 * GIB, **asked) == first.fsuuid
    assert home(ledger, "v2", 2 * GIB, **asked) == second.fsuuid


def test_when_no_preferred_term_has_space_the_best_requisite_one_is_taken() -> None:
    small, large = drive_record(6 * GIB, node="n1"), drive_record(9 * GIB, node="n2")
    ledger = ledger_of(small, large, drive_record(GIB, node="n3"))

    assert home(ledger, "v1", 5 * GIB, preferred=on("n3"), requisite=on("n1", "n2", "n3")) == large.fsuuid


def test_a_zone_is_served_by_the_drive_with_most_space_in_it() -> None:
    zone = {names.ZONE: "z1"}
    small, large = (drive_record(size * GIB, node=f"n{size}", topology=zone) for size in (3, 5))
    ledger = ledger_of(drive_record(99 * GIB, node="far"), small, large)

    assert home(ledger, "v1", 3 * GIB, requisite=(zone,)) == large.fsuuid
    assert home(ledger, "v2", 3 * GIB, requisite=(zone,)) == small.fsuuid
    with pytest.raises(NoCapacity, match="2 drives on zone=z1: 2 have at most 2 GiB free of 3 GiB asked"):
        place(ledger, "v3", 3 * GIB, requisite=(zone,))


def test_a_node_with_many_drives_and_one_with_few_give_the_same_answers() -> None:
    drives = [drive_record((i + 1) * GIB) for i in range(200)]

    assert home(ledger_of(*drives), requisite=on("n1")) == drives[-1].fsuuid
    assert home(ledger_of(*drives[:3]), requisite=on("n1")) == drives[2].fsuuid


def test_hundreds_of_terms_without_space_are_refused() -> None:
    ledger = ledger_of(*(drive_record(GIB, node=f"n{i}") for i in range(300)))

    with pytest.raises(NoCapacity, match="and 292 more places"):
        place(ledger, required=2 * GIB, requisite=on(*(f"n{i}" for i in range(300))))
