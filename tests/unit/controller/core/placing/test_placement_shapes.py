"""What a choice costs, whatever the shape of the cluster: it looks at few drives, and finds the best all the same."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import NoCapacity
from directpv_controller.core.placing import explain, placement, views
from directpv_controller.core.placing.wanted import need_from, wanted_from
from unit.controller.builders import CLAIM, GIB, committed, drive_record, home, ledger_of, on, place, request


def test_more_kinds_of_requests_than_views_are_kept_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "VIEWS_PER_DRIVE", 3)
    monkeypatch.setattr(placement, "FEW_DRIVES", 10)
    zones = [f"z{i}" for i in range(40)]
    drives = {zone: drive_record(node=zone, topology={names.ZONE: zone}) for zone in zones}
    ledger = ledger_of(*drives.values())

    for round_ in range(2):
        for zone in zones:
            assert home(ledger, f"{zone}-{round_}", requisite=({names.ZONE: zone},)) == drives[zone].fsuuid
    assert ledger.check() == []
    assert len(list(ledger.index.views())) < len(zones)


def many(count: int, per_node: int, **fields: Any) -> list[m.DriveRecord]:
    """``count`` drives of different sizes; every fifth node is of one rack, all nodes share a zone."""
    return [
        drive_record(
            GIB * (10 + i * 7919 % 97),
            node=f"n{i // per_node}",
            topology={names.RACK: f"r{i // per_node % 5}", names.ZONE: "z"},
            labels={f"{names.GROUP}/class": f"c{i % 7}"},
            **fields,
        )
        for i in range(count)
    ]


RACK = {names.RACK: "r3"}


CLASS = {f"{names.GROUP}/class": "c3"}


SHAPES: list[Any] = [
    pytest.param(10, {}, id="anywhere"),
    pytest.param(10, {"requisite": on("n7")}, id="on a node"),
    pytest.param(106, {"requisite": on("n7")}, id="on a node with many drives"),
    pytest.param(1_000, {"requisite": on("n1")}, id="on a node with very many drives"),
    pytest.param(10, {"requisite": (RACK,)}, id="in a rack"),
    pytest.param(10, {"parameters": CLASS}, id="with a label"),
    pytest.param(10, {"requisite": (RACK,), "parameters": CLASS}, id="with a label in a rack"),
    pytest.param(10, {"requisite": on(*(f"n{i}" for i in range(200)))}, id="on any of many nodes"),
]


@pytest.mark.parametrize(("per_node", "asked"), SHAPES)
def test_the_choice_looks_at_few_drives_however_many_there_are(
    per_node: int, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(*many(2_000, per_node))
    place(ledger, "warm-up", **asked)
    looked = _counted(monkeypatch, "meets") + _counted(monkeypatch, "_takes")

    place(ledger, "v1", **asked)
    assert sum(counter["calls"] for counter in looked) < 40


@pytest.mark.parametrize(("per_node", "asked"), SHAPES)
def test_the_choice_is_the_best_of_all_drives_that_fit(per_node: int, asked: dict[str, Any]) -> None:
    ledger = ledger_of(*many(2_000, per_node))
    terms = asked.get("requisite", ({},))
    fit = [
        drive
        for drive in ledger.drives.values()
        if drive.record.labels.items() >= asked.get("parameters", {}).items()
        and any({names.NODE: drive.record.node, **drive.record.topology}.items() >= term.items() for term in terms)
    ]
    for number in range(100):
        best = max(drive.free for drive in fit)
        volume = place(ledger, f"v{number}", GIB, **asked)
        assert ledger.drives[volume.record.fsuuid].free == best - GIB
        if number % 3 == 0:  # space that comes back counts as well
            committed(ledger.remove(volume))
    assert ledger.check() == []


def test_kinds_of_requests_that_take_turns_are_answered_without_looking_at_all_drives_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = ledger_of(*many(2_000, 2))
    kinds: list[dict[str, Any]] = [
        {"requisite": ({names.RACK: f"r{i}"},), "parameters": {f"{names.GROUP}/class": f"c{j}"}}
        for i in range(5)
        for j in range(7)
    ]
    kinds += [{"requisite": on(f"n{i}")} for i in range(1_000)]
    for number, kind in enumerate(kinds):
        place(ledger, f"first-{number}", **kind)
    looked = _counted(monkeypatch, "meets") + _counted(monkeypatch, "_takes")

    for number, kind in enumerate(kinds):
        place(ledger, f"second-{number}", **kind)
    assert sum(counter["calls"] for counter in looked) < 10 * len(kinds)


@pytest.mark.parametrize("elsewhere", [{names.RACK: "r9"}, {names.ZONE: "of-others"}])
def test_terms_that_name_every_node_and_fit_none_are_refused_without_looking_at_their_drives(
    elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Immediate binding, after the racks of all nodes were named anew and their agents do not know it yet."""
    ledger = ledger_of(*many(2_000, 2))
    terms = tuple({names.NODE: f"n{number}", **elsewhere} for number in range(1_000))
    place(ledger, "warm-up")
    looked = _counted(monkeypatch, "meets") + _counted(monkeypatch, "_takes")

    with pytest.raises(NoCapacity):
        place(ledger, "v1", preferred=terms, requisite=terms)
    assert sum(counter["calls"] for counter in looked) < 100


def test_a_drive_is_on_its_node_also_if_its_topology_does_not_say_so() -> None:
    full = (drive_record(GIB, node=f"n{number}") for number in range(40))
    bare = replace(drive_record(2 * GIB, node="bare"), topology={})
    elsewhere = (drive_record(9 * GIB, node=f"m{number}") for number in range(500))
    ledger = ledger_of(*full, bare, *elsewhere)
    terms = tuple({names.NODE: name} for name in (*(f"n{number}" for number in range(40)), "bare"))

    volume = place(ledger, "v1", 2 * GIB, preferred=terms, requisite=terms)
    assert volume.record.fsuuid == bare.fsuuid


@pytest.mark.parametrize(("per_node", "asked"), SHAPES)
def test_a_refusal_looks_at_a_hundred_drives_at_most(
    per_node: int, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(*many(20_000, per_node))
    with pytest.raises(NoCapacity):
        place(ledger, "warm-up", required=999 * GIB, **asked)
    looked = (
        _counted(monkeypatch, "meets")
        + _counted(monkeypatch, "_takes")
        + _counted(monkeypatch, "in_reach", explain)
        + _counted(monkeypatch, "_mismatch", explain)
    )

    with pytest.raises(NoCapacity):
        place(ledger, "v1", required=999 * GIB, **asked)
    assert max(counter["calls"] for counter in looked) <= explain.LOOK_AT_MOST


def test_a_refusal_that_did_not_look_at_all_drives_says_so_and_names_the_most_there_is() -> None:
    ledger = ledger_of(*(drive_record(GIB) for _ in range(explain.LOOK_AT_MOST)), drive_record(2 * GIB))

    with pytest.raises(NoCapacity, match=r"the first 20 drives: .*; of all that are .*, none has more than 2 GiB"):
        place(ledger, required=3 * GIB)


def test_a_view_that_is_made_in_slices_misses_nothing_that_happens_meanwhile() -> None:
    ledger = ledger_of(*many(21 * placement.SLICE, 10))
    need = need_from(CLASS)
    making = ledger.index.unready([need])
    ledger.index.advance(next(making))
    early = next(d for d in ledger.drives.values() if d.record.labels == CLASS)
    late = list(ledger.drives.values())[-1]
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=early.fsuuid, unschedulable=True))[1])
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=late.fsuuid, set_labels=CLASS))[1])
    committed(ledger.register(drive_record(999 * GIB, fsuuid="new", labels=CLASS)))
    place(ledger, "v1", parameters={names.VOLUME_CLAIM_ID: CLAIM})

    slices = [ledger.index.advance(view) for view in making]
    assert len(slices) > 1
    assert ledger.check() == []
    assert home(ledger, "v2", parameters=CLASS) == "new"


@pytest.mark.parametrize(
    "asked", [{"parameters": CLASS}, {"requisite": (RACK,)}, {"requisite": (RACK,), "parameters": CLASS}]
)
def test_the_first_request_of_a_kind_looks_at_those_drives_alone_that_share_its_rarest_trait(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(*many(2_000, 10))
    traits = [
        *asked.get("parameters", {}).items(),
        *(pair for term in asked.get("requisite", ()) for pair in term.items()),
    ]
    records = [drive.record for drive in ledger.drives.values()]
    having = [sum(pair in {*r.labels.items(), *r.topology.items()} for r in records) for pair in traits]
    looked = _counted(monkeypatch, "meets")

    place(ledger, **asked)
    assert 0 < sum(counter["calls"] for counter in looked) <= min(having)


def test_labels_that_drives_lose_or_get_change_which_are_found() -> None:
    ledger = ledger_of(drive_record(fsuuid="old", labels=CLASS), drive_record(fsuuid="new"))
    committed(ledger.change_drive(m.ChangeDrive(fsuuid="old", remove_labels=[*CLASS]))[1])
    committed(ledger.change_drive(m.ChangeDrive(fsuuid="new", set_labels=CLASS))[1])

    assert home(ledger, parameters=CLASS) == "new"


def test_a_claim_whose_drives_are_not_in_the_way_costs_no_look_at_all_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(*many(2_000, 10))
    claim = {"parameters": {names.VOLUME_CLAIM_ID: CLAIM}}
    for number in range(3 * placement.SKIP_AT_MOST):
        place(ledger, f"v{number}", 100 * GIB // 2, **claim)
    looked = _counted(monkeypatch, "meets") + _counted(monkeypatch, "_takes")

    for view in ledger.index.unready(ledger.index.needs(wanted_from(request("one-more", GIB, **claim)))):
        ledger.index.advance(view)
    place(ledger, "one-more", GIB, **claim)
    assert sum(counter["calls"] for counter in looked) < 40


def test_a_claim_whose_drives_are_in_the_way_gets_a_view_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(*many(2_000, 10))
    claim = {"parameters": {names.VOLUME_CLAIM_ID: CLAIM}}
    for number in range(2 * placement.SKIP_AT_MOST):
        place(ledger, f"v{number}", 1, **claim)
    for view in ledger.index.unready(ledger.index.needs(wanted_from(request("one-more", 1, **claim)))):
        ledger.index.advance(view)
    looked = _counted(monkeypatch, "meets") + _counted(monkeypatch, "heappop", views)

    place(ledger, "one-more", 1, **claim)
    assert sum(counter["calls"] for counter in looked) < 40
    assert ledger.check() == []


def test_drives_that_change_a_thousand_times_leave_nothing_behind_in_the_views() -> None:
    record = drive_record(9 * GIB)
    ledger = ledger_of(record, drive_record())
    for number in range(3_000):
        volume = place(ledger, f"v{number}", GIB)
        committed(ledger.remove(volume))
        ledger.set_offline("n1", True)
        ledger.set_offline("n1", False)

    assert all(len(view.heap) <= 2 * view.members + 1_001 for view in ledger.index.views())
    assert ledger.check() == []


def _counted(monkeypatch: pytest.MonkeyPatch, name: str, module: Any = placement) -> list[Counter[str]]:
    original: Callable[..., Any] = getattr(module, name)
    counter: Counter[str] = Counter()

    def counting(*arguments: Any) -> Any:
        counter["calls"] += 1
        return original(*arguments)

    monkeypatch.setattr(module, name, counting)
    return [counter]
