"""Which drive gets the volume: design 5; upstream's drive selection; CSI CreateVolume, TopologyRequirement."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest, NoCapacity
from directpv_common.protocol.names import AccessTier, project_id
from directpv_controller.core import explain, placement
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.listing import capacity
from directpv_controller.core.wanted import need_from
from unit.controller.builders import CLAIM, GIB, committed, drive_record, home, ledger_of, on, place

CLAIMED = {names.VOLUME_CLAIM_ID: CLAIM}


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


# ---- parameters


@pytest.mark.parametrize("asked", ["hot", "HOT", "Hot"])
def test_the_access_tier_is_matched_in_any_case(asked: str) -> None:
    hot = drive_record(2 * GIB, access_tier=AccessTier.HOT)

    assert home(ledger_of(drive_record(9 * GIB), hot), parameters={names.ACCESS_TIER: asked}) == hot.fsuuid


def test_an_unknown_access_tier_is_refused_and_the_parameter_named() -> None:
    with pytest.raises(InvalidRequest, match="Default, Warm, Hot, Cold") as refusal:
        place(ledger_of(drive_record()), parameters={names.ACCESS_TIER: "lukewarm"})
    assert names.ACCESS_TIER in refusal.value.details["field"]


def test_parameters_of_our_group_must_equal_the_labels_of_the_drive() -> None:
    key = f"{names.GROUP}/rack-unit"
    right = drive_record(2 * GIB, labels={key: "7"})
    ledger = ledger_of(drive_record(9 * GIB), drive_record(9 * GIB, labels={key: "8"}), right)

    assert home(ledger, parameters={key: "7"}) == right.fsuuid
    with pytest.raises(NoCapacity, match="without label"):
        place(ledger, "v2", parameters={key: "9"})


def test_facts_that_upstream_shows_as_labels_can_be_asked_for() -> None:
    right = drive_record(2 * GIB, device="nvme1n1")

    assert home(ledger_of(drive_record(), right), parameters={names.DRIVE_NAME: "nvme1n1"}) == right.fsuuid


def test_parameters_of_other_groups_mean_nothing_here() -> None:
    place(ledger_of(drive_record()), parameters={"csi.storage.k8s.io/fstype": "xfs", "example.com/x": "y"})


def test_a_label_that_is_set_later_counts() -> None:
    key = f"{names.GROUP}/class"
    drive = drive_record()
    ledger = ledger_of(drive)
    with pytest.raises(NoCapacity):
        place(ledger, parameters={key: "a"})

    committed(ledger.change_drive(m.ChangeDrive(fsuuid=drive.fsuuid, set_labels={key: "a"}))[1])
    assert home(ledger, parameters={key: "a"}) == drive.fsuuid


# ---- claim ids


@pytest.mark.parametrize("count", [2, 200], ids=["few drives", "more drives than one walk skips"])
def test_at_most_one_volume_of_a_claim_lives_on_a_drive(count: int) -> None:
    ledger = ledger_of(*(drive_record(node=f"n{i}") for i in range(count)))
    homes = {home(ledger, f"v{i}", parameters=CLAIMED) for i in range(count)}

    assert len(homes) == count
    with pytest.raises(NoCapacity, match=f"{count} with a volume of claim"):
        place(ledger, "one-more", parameters=CLAIMED)
    place(ledger, "without-claim")
    assert ledger.check() == []


def test_a_claim_is_free_again_when_its_volume_is_gone() -> None:
    ledger = ledger_of(drive_record())
    volume = place(ledger, "v1", parameters=CLAIMED)
    committed(ledger.remove(volume))

    place(ledger, "v2", parameters=CLAIMED)


def test_claim_ids_are_compared_in_any_case() -> None:
    ledger = ledger_of(drive_record())
    place(ledger, "v1", parameters={names.VOLUME_CLAIM_ID: CLAIM.upper()})

    with pytest.raises(NoCapacity):
        place(ledger, "v2", parameters=CLAIMED)


@pytest.mark.parametrize("claim", ["", "x", CLAIM[:-1], f"{CLAIM}0", CLAIM.replace("-", "_")])
def test_a_claim_id_that_is_no_uuid_is_refused(claim: str) -> None:
    with pytest.raises(InvalidRequest, match="UUID"):
        place(ledger_of(drive_record()), parameters={names.VOLUME_CLAIM_ID: claim})


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


@pytest.mark.parametrize(("per_node", "asked"), SHAPES)
def test_a_refusal_looks_at_some_hundred_drives_at_most(
    per_node: int, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(*many(20_000, per_node))
    with pytest.raises(NoCapacity):
        place(ledger, "warm-up", required=999 * GIB, **asked)
    looked = (
        _counted(monkeypatch, "meets") + _counted(monkeypatch, "_takes") + _counted(monkeypatch, "_reason", explain)
    )

    with pytest.raises(NoCapacity):
        place(ledger, "v1", required=999 * GIB, **asked)
    assert sum(counter["calls"] for counter in looked) <= explain.LOOK_AT_MOST


def test_a_refusal_that_did_not_look_at_all_drives_says_so_and_names_the_most_there_is() -> None:
    ledger = ledger_of(*(drive_record(GIB) for _ in range(explain.LOOK_AT_MOST)), drive_record(2 * GIB))

    with pytest.raises(NoCapacity, match=r"the first 500 drives: .*; of all that are .*, none has more than 2 GiB"):
        place(ledger, required=3 * GIB)


def test_a_view_that_is_made_in_slices_misses_nothing_that_happens_meanwhile() -> None:
    ledger = ledger_of(*many(3 * placement.SLICE, 10))
    need = need_from(CLASS)
    making = ledger.index.unready([need])
    next(making)
    early = next(d for d in ledger.drives.values() if d.record.labels == CLASS)
    late = list(ledger.drives.values())[-1]
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=early.fsuuid, unschedulable=True))[1])
    committed(ledger.change_drive(m.ChangeDrive(fsuuid=late.fsuuid, set_labels=CLASS))[1])
    committed(ledger.register(drive_record(999 * GIB, fsuuid="new", labels=CLASS)))
    place(ledger, "v1", parameters={names.VOLUME_CLAIM_ID: CLAIM})

    assert list(making)
    assert ledger.check() == []
    assert home(ledger, "v2", parameters=CLASS) == "new"


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
