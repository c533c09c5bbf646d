"""The leader's orders: fencing, and what becomes of records."""

import pytest

from directpv_common.protocol.errors import Fenced
from directpv_common.protocol.messages import DriveRecord, DriveStatus, Fence, KeptPv, VolumeRecord
from directpv_common.protocol.names import AccessTier
from directpv_nodeagent.drives.core.orders import Fences, by_drive, decided, is_another, merged

A = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
B = "00000000-0000-4000-8000-000000000000"


def fence(epoch: int, registry: str = "r") -> Fence:
    return Fence(registry=registry, epoch=epoch)


def volume(name: str = "v", fsuuid: str = A, capacity: int = 10, **fields: object) -> VolumeRecord:
    return VolumeRecord(name=name, fsuuid=fsuuid, capacity=capacity, **fields)  # type: ignore[arg-type]


def test_an_order_of_a_leader_that_was_replaced_is_refused() -> None:
    fences = Fences()
    fences.check(fence(5))
    fences.check(fence(5))

    with pytest.raises(Fenced, match="4"):
        fences.check(fence(4))
    fences.check(fence(6))
    with pytest.raises(Fenced):
        fences.check(fence(5))


def test_epochs_of_different_registries_are_not_compared() -> None:
    fences = Fences()
    fences.check(fence(5, "old"))

    fences.check(fence(1, "new"))


def test_records_are_sorted_to_their_drives_and_the_last_of_a_name_counts() -> None:
    grouped = by_drive([volume("a"), volume("b", B), volume("a", capacity=20)])

    assert grouped == {A: [volume("a", capacity=20)], B: [volume("b", B)]}


def test_which_pod_uses_a_volume_is_the_nodes_to_say_and_its_labels_are_not() -> None:
    pod = {"pod_name": "web-0", "pod_namespace": "shop", "pod_uid": "u"}
    kept = merged(volume(**pod), volume(pod_name="x", pod_namespace="y", pod_uid="z", labels={"a": "b"}))

    assert kept == volume(**pod, labels={"a": "b"})


def test_a_record_never_shrinks_and_keeps_its_birthday() -> None:
    kept = merged(volume(capacity=50, created="then"), volume(capacity=10, pvc_name="data"))

    assert (kept.capacity, kept.created, kept.pvc_name) == (50, "then", "data")
    assert merged(volume(capacity=10), volume(capacity=50)).capacity == 50


def test_a_record_that_has_an_incarnation_keeps_it_and_one_without_gets_it() -> None:
    """A leader of an earlier version sends none: without it, the name alone would authorise destruction."""
    assert merged(volume(incarnation="aa"), volume(labels={"a": "b"})) == volume(incarnation="aa", labels={"a": "b"})
    assert merged(volume(incarnation="aa"), volume(incarnation="bb")).incarnation == "aa"
    assert merged(volume(), volume(incarnation="bb")).incarnation == "bb"


def test_what_the_drive_remembers_of_claim_and_persistent_volume_is_not_taken_away_by_who_does_not_know_it() -> None:
    kept = KeptPv(storage_class="fast", reclaim_policy="Delete")
    known = volume(pv=kept, pvc_name="data-0", pvc_namespace="shop")
    assert merged(known, volume()) == known
    news = volume(pv=KeptPv(storage_class="fast", reclaim_policy="Retain"), pvc_name="other", pvc_namespace="shop")
    assert merged(known, news) == news
    assert merged(volume(), news) == news


@pytest.mark.parametrize(
    ("known", "ordered", "another"),
    [("aa", "bb", True), ("aa", "", True), ("aa", "aa", False), ("", "bb", False), ("aa", None, False)],
)
def test_an_order_means_another_volume_if_it_names_another_incarnation(
    known: str, ordered: str | None, another: bool
) -> None:
    assert is_another(volume(incarnation=known), ordered) is another


def test_people_decide_some_fields_of_a_drive_and_the_agent_the_others() -> None:
    known = DriveRecord(fsuuid=A, node="n", total=100, overhead=5, device="sdb")
    wanted = DriveRecord(
        fsuuid=A, node="x", total=1, overhead=0, device="old", status=DriveStatus.LOST,
        unschedulable=True, access_tier=AccessTier.HOT, labels={"a": "b"},
    )  # fmt: skip

    kept = decided(known, wanted)

    assert (kept.unschedulable, kept.access_tier, kept.labels) == (True, AccessTier.HOT, {"a": "b"})
    assert (kept.node, kept.total, kept.overhead, kept.device, kept.status) == ("n", 100, 5, "sdb", DriveStatus.READY)
