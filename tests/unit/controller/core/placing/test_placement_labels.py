"""What parameters of a StorageClass ask for: tiers, labels, claims."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest, NoCapacity
from directpv_common.protocol.names import AccessTier
from unit.controller.builders import CLAIM, GIB, committed, drive_record, home, ledger_of, place

CLAIMED = {names.VOLUME_CLAIM_ID: CLAIM}


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


def test_a_node_can_be_asked_for_as_a_label_whether_it_is_a_fact_or_a_label_that_people_gave() -> None:
    on_it, said_to_be = drive_record(9 * GIB, node="n7"), drive_record(5 * GIB, labels={names.NODE: "n7"})
    ledger = ledger_of(drive_record(99 * GIB), on_it, said_to_be)

    for number, right in enumerate((on_it, said_to_be)):
        assert home(ledger, f"v{number}", 5 * GIB, parameters={names.NODE: "n7"}) == right.fsuuid
    with pytest.raises(NoCapacity):
        place(ledger, "v9", 5 * GIB, parameters={names.NODE: "n7"})
    assert ledger.check() == []


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


@pytest.mark.parametrize(
    ("count", "why"),
    [
        pytest.param(2, "2 with a volume of claim", id="few drives"),
        pytest.param(200, "with a volume of claim .*; no other is open and fits", id="more drives than one walk skips"),
    ],
)
def test_at_most_one_volume_of_a_claim_lives_on_a_drive(count: int, why: str) -> None:
    ledger = ledger_of(*(drive_record(node=f"n{i}") for i in range(count)))
    homes = {home(ledger, f"v{i}", parameters=CLAIMED) for i in range(count)}

    assert len(homes) == count
    with pytest.raises(NoCapacity, match=why):
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
