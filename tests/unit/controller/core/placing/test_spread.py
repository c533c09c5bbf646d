"""Volumes of one pod, and of a set's replicas, go to different drives while there are any; no class asks for it."""

import random
from collections import Counter

import pytest

from directpv_common.protocol import names
from directpv_controller.core.placing.company import COUNTED_AT_MOST, SHARED_AT_MOST
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.invariants import check
from directpv_controller.core.reserving.ledger import Ledger
from unit.controller.builders import GIB, committed, drive_record, home, ledger_of, on, place, volume_record

SIZES = (10, 40, 90, 200)
ANYWHERE: tuple[dict[str, str], ...] = ()


def claimed(ledger: Ledger, claim: str, term: tuple[dict[str, str], ...] = ANYWHERE, namespace: str = "store") -> str:
    """Place the volume of a claim, and return its drive."""
    asked = {names.PVC_NAME: claim, names.PVC_NAMESPACE: namespace}
    return home(ledger, f"pvc-{namespace}-{claim or 'none'}", parameters=asked, requisite=term)


@pytest.mark.parametrize("bound", [pytest.param(True, id="to its node"), pytest.param(False, id="anywhere")])
def test_each_pod_of_a_stateful_set_has_its_claims_on_drives_of_their_own_whatever_their_sizes(bound: bool) -> None:
    nodes = [f"n{number}" for number in range(4)]
    ledger = ledger_of(*(drive_record(size * GIB, node=node) for node in nodes for size in SIZES))

    homes = {
        (pod, template): claimed(ledger, f"data-{template}-rustfs-{pod}", on(nodes[pod]) if bound else ANYWHERE)
        for pod in range(4)
        for template in range(4)
    }

    for pod in range(4):
        assert len({homes[pod, template] for template in range(4)}) == 4
    assert len(set(homes.values())) == 16
    assert check(ledger) == []


def test_replicas_on_one_node_share_as_few_drives_as_can_be() -> None:
    ledger = ledger_of(*(drive_record(size * GIB) for size in SIZES))

    shared = Counter(claimed(ledger, f"data-db-{pod}", on("n1")) for pod in range(8))

    assert set(shared.values()) == {2}


def test_where_there_are_fewer_drives_than_claims_all_are_placed_and_spread_all_the_same() -> None:
    ledger = ledger_of(drive_record(90 * GIB), drive_record(10 * GIB))

    shared = Counter(claimed(ledger, f"data{number}-db-0", on("n1")) for number in range(4))

    assert set(shared.values()) == {2}


def test_a_drive_that_is_too_small_is_not_preferred() -> None:
    large, small = drive_record(90 * GIB), drive_record(GIB // 2)
    ledger = ledger_of(large, small)

    assert [claimed(ledger, f"data{number}-db-0", on("n1")) for number in range(2)] == [large.fsuuid] * 2


def test_a_claim_that_is_made_anew_is_not_kept_off_by_its_own_volume_that_goes() -> None:
    ledger = ledger_of(*(drive_record(size * GIB) for size in SIZES))
    homes = [claimed(ledger, f"data{number}-db-0", on("n1")) for number in range(4)]
    volume = ledger.volumes["pvc-store-data2-db-0"]
    committed(ledger.mark(volume, deleting=True))

    again = place(
        ledger,
        "pvc-again",
        parameters={names.PVC_NAME: "data2-db-0", names.PVC_NAMESPACE: "store"},
        requisite=on("n1"),
    )

    assert again.record.fsuuid == homes[2]


def test_a_volume_that_is_gone_leaves_room_beside_its_sisters() -> None:
    ledger = ledger_of(*(drive_record(size * GIB) for size in SIZES))
    homes = [claimed(ledger, f"data{number}-db-0", on("n1")) for number in range(4)]
    ledger.drop(ledger.volumes["pvc-store-data1-db-0"])

    assert claimed(ledger, "data9-db-0", on("n1")) == homes[1]
    assert check(ledger) == []


@pytest.mark.parametrize(
    ("claim", "namespace"),
    [
        pytest.param("data1-db-0", "other", id="of another namespace"),
        pytest.param("data1-web-0", "store", id="of another set"),
        pytest.param("data1", "store", id="of no set"),
        pytest.param("db-0", "store", id="without template"),
        pytest.param("", "store", id="without claim"),
    ],
)
def test_a_claim_that_has_nothing_in_common_gets_the_drive_with_most_space(claim: str, namespace: str) -> None:
    large, small = drive_record(90 * GIB), drive_record(10 * GIB)
    ledger = ledger_of(large, small)
    claimed(ledger, "data0-db-0", on("n1"))

    assert claimed(ledger, claim, on("n1"), namespace) == large.fsuuid


def test_a_set_of_more_replicas_than_are_looked_at_is_placed() -> None:
    ledger = ledger_of(*(drive_record(10 * GIB, node=f"n{number}") for number in range(SHARED_AT_MOST + 50)))
    homes = Counter(claimed(ledger, f"data-db-{pod}") for pod in range(len(ledger.drives)))

    assert set(homes.values()) == {1}
    assert claimed(ledger, "data-db-9999") in homes


@pytest.mark.parametrize("limit", [0, 30 * GIB])
def test_a_volume_that_takes_what_it_gets_gets_the_drive_with_most_space_whoever_is_there(limit: int) -> None:
    large, small = drive_record(90 * GIB), drive_record(1)
    ledger = ledger_of(large, small)
    claimed(ledger, "data0-db-0", on("n1"))

    asked = {names.PVC_NAME: "data1-db-0", names.PVC_NAMESPACE: "store"}
    volume = place(ledger, "pvc-any", required=0, limit=limit, parameters=asked, requisite=on("n1"))

    assert volume.record.fsuuid == large.fsuuid


@pytest.mark.parametrize("bound", [pytest.param(True, id="to nodes"), pytest.param(False, id="anywhere")])
def test_a_placement_looks_at_few_volumes_however_many_belong_together(bound: bool) -> None:
    each = COUNTED_AT_MOST // 10
    drives = [drive_record(900 * GIB, node=f"n{number // 10}") for number in range(40)]
    volumes = [
        volume_record(f"pvc-{at}-{number}", drive, 1, pvc_name=f"data-db-{at * each + number}", pvc_namespace="store")
        for at, drive in enumerate(drives)
        for number in range(each)
    ]
    ledger = Ledger.load(Snapshot(drives=drives, volumes=volumes), random.Random(1).random)

    claimed(ledger, "data-db-99999", on("n0", "n1", "n2", "n3") if bound else ANYWHERE)

    looked_at = [drive for drive in ledger.drives.values() if drive.groups is not None]
    assert 0 < sum(len(drive.volumes) for drive in looked_at) <= COUNTED_AT_MOST + 2 * each
    assert check(ledger) == []


def test_a_volume_whose_deletion_is_taken_back_is_company_again() -> None:
    ledger = ledger_of(*(drive_record(size * GIB) for size in SIZES))
    homes = [claimed(ledger, f"data{number}-db-0", on("n1")) for number in range(3)]
    ledger.mark(ledger.volumes["pvc-store-data0-db-0"], deleting=True).undo()

    assert check(ledger) == []
    assert claimed(ledger, "data3-db-0", on("n1")) not in homes
