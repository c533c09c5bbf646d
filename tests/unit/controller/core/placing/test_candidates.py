"""Every drive says all that keeps it from taking a volume, and the smallest change that takes that away."""

from typing import cast

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import NoCapacity
from directpv_controller.core.placing import candidates, reach
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.placing.wanted import Pairs, Wanted
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing import listing
from unit.controller.builders import CLAIM, GIB, drive_record, ledger_of, on, place

TIER = f"{names.GROUP}/tier"


def explained(ledger: Ledger, **asked: object) -> m.Placement:
    request = {"name": "v9", "required": GIB, **asked}
    steps = listing.placement(ledger, m.ExplainPlacement(**request))  # type: ignore[arg-type]
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(m.Placement, end.value)


def only(ledger: Ledger, **asked: object) -> m.Candidate:
    (candidate,) = explained(ledger, **asked).candidates
    return candidate


@pytest.mark.parametrize(
    ("facts", "asked", "why", "change"),
    [
        ({"status": m.DriveStatus.LOST}, {}, "it is Lost", "explain drive {id}"),
        ({"unschedulable": True}, {}, "it is cordoned", "uncordon {id}"),
        ({"labels": {names.SUSPEND: "true"}}, {}, "it is suspended", "resume drives {id}"),
        ({}, {"required": 11 * GIB}, "10 GiB free of 11 GiB asked", "ask for 10 GiB at most, or free 1 GiB on it"),
        ({}, {"parameters": {TIER: "hot"}}, "it has no label tier=hot", "label drives tier=hot --ids {id}"),
        ({"labels": {TIER: "cold"}}, {"parameters": {TIER: "hot"}}, "its label tier is cold, not hot", "tier=hot"),
        ({}, {"parameters": {names.ACCESS_TIER: "Hot"}}, "its access tier is Default, not Hot", "storage class"),
        ({}, {"requisite": on("n2")}, "it is not where the volume may be (n2)", "let the pod run on n1"),
    ],
)
def test_each_filter_that_a_drive_fails_is_named_with_the_smallest_change(
    facts: dict[str, object], asked: dict[str, object], why: str, change: str
) -> None:
    drive = drive_record(**facts)  # type: ignore[arg-type]
    found = only(ledger_of(drive), **asked)

    assert found.obstacles == (why,)
    assert change.format(id=drive.fsuuid) in found.changes[0]


def test_what_is_named_is_what_keeps_it_and_the_drive_that_would_be_taken_has_nothing() -> None:
    ledger = ledger_of(drive_record(unschedulable=True), drive_record(20 * GIB), drive_record(5 * GIB))
    asked = explained(ledger)

    taken = place(ledger, "v9").record.fsuuid
    assert (asked.drive, asked.candidates[0].fsuuid) == (taken, taken)
    assert [bool(candidate.obstacles) for candidate in asked.candidates] == [False, False, True]


def test_all_filters_are_told_and_the_drive_that_lacks_least_comes_first() -> None:
    far = drive_record(GIB, node="n2", unschedulable=True, status=m.DriveStatus.ERROR)
    near = drive_record(4 * GIB)
    ledger = ledger_of(far, near)
    asked = explained(ledger, required=5 * GIB, requisite=on("n1"))

    assert [candidate.fsuuid for candidate in asked.candidates] == [near.fsuuid, far.fsuuid]
    assert len(asked.candidates[1].obstacles) == len(asked.candidates[1].changes) == 4
    with pytest.raises(NoCapacity, match="v9") as refused:
        place(ledger, "v9", 5 * GIB, requisite=on("n1"))
    assert asked.summary == refused.value.message


def test_a_claim_id_a_project_id_and_an_absent_node_are_named() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    place(ledger, "v1", parameters={names.VOLUME_CLAIM_ID: CLAIM})
    ledger.set_offline("n1", True)

    found = only(ledger, parameters={names.VOLUME_CLAIM_ID: CLAIM})
    assert found.obstacles == ("node n1 is offline", f"it has a volume of claim id {CLAIM} already")
    assert explained(ledger, name="v1").drive == drive.fsuuid


def test_few_of_many_are_shown_and_the_rest_is_counted() -> None:
    ledger = ledger_of(*(drive_record() for _ in range(30)))
    asked = explained(ledger, required=100 * GIB, show=3)

    assert (len(asked.candidates), asked.more, asked.unseen) == (3, 27, 0)
    assert len(msgspec.json.encode(explained(ledger, required=100 * GIB))) < 100_000


def test_others_have_their_turn_while_many_drives_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SLICE", 10)
    looked: list[str] = []
    original = candidates._order

    def noting(wanted: Wanted, drive: Drive, terms: tuple[Pairs, ...], chosen: Drive | None) -> object:
        looked.append(drive.fsuuid)
        return original(wanted, drive, terms, chosen)

    monkeypatch.setattr(candidates, "_order", noting)
    ledger = ledger_of(*(drive_record(node=f"n{number}") for number in range(95)))
    steps = listing.placement(ledger, m.ExplainPlacement(name="v9", required=99 * GIB, show=3))

    turns = 0
    for _ in steps:
        turns += 1
        assert len(looked) <= 10 * turns
        ledger.register(drive_record(node="new")).done()  # what happens meanwhile does no harm
    assert (turns, len(looked), len({*looked})) == (10, 95, 95)


def test_a_drive_is_compared_with_the_places_of_its_own_node_however_many_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with Immediate binding: thousands of drives times thousands of places would stop the leader."""
    ledger = ledger_of(*(drive_record(node=f"n{number}") for number in range(300)))
    places = on(*(f"n{number}" for number in range(200)))
    compared, original = [], reach.in_reach
    monkeypatch.setattr(reach, "in_reach", lambda *asked: compared.append(asked) or original(*asked))

    shown = explained(ledger, preferred=places, show=300).candidates
    assert sum(not each.obstacles for each in shown) == 200
    assert sum(any("not where" in why for why in each.obstacles) for each in shown) == 100
    assert len(compared) < 1_000
