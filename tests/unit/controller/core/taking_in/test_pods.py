"""Which labels of a pod go onto the volume that it uses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.crd.labels import is_label
from directpv_common.protocol.names import is_reserved
from directpv_controller.core.taking_in.pods import LABELS_AT_MOST, PREFIX, chosen

RESERVED = (
    *("node", "drive-name", "access-tier", "drive", "version", "created-by", "pod.name", "pod.namespace", "v1beta1"),
    *("identity", "rack", "zone", "region", "migrated", "request-id", "suspend", "volume-claim-id", "claim-id"),
    "image-tag",
)
"""As upstream's list has them, written out here: none may slip out of ours."""
CLAIM = "volume-claim-id-0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b"
KEYS = st.builds(
    lambda prefix, name: f"{prefix}{name}",
    st.sampled_from(("", PREFIX, "example.com/", "directpv.min.io.volume/")),
    st.sampled_from(("tenant", "organization", "app", "bad key", *RESERVED, CLAIM, *(f"l{n}" for n in range(20)))),
)
LABELS = st.dictionaries(KEYS, st.sampled_from(("", "acme", "true", "not a value", "x" * 64)), max_size=40)


def test_labels_of_the_group_are_copied_and_no_others() -> None:
    pod = {f"{PREFIX}tenant": "acme", f"{PREFIX}app": "web", "app": "web", "directpv.min.io.volume/x": "y"}
    assert chosen({}, pod) == ({f"{PREFIX}tenant": "acme", f"{PREFIX}app": "web"}, ())


@pytest.mark.parametrize("name", [*RESERVED, CLAIM, "volume-claim-id-"])
def test_a_reserved_key_is_ignored_and_told(name: str) -> None:
    key = PREFIX + name
    assert chosen({}, {key: "true", f"{PREFIX}tenant": "acme"}) == ({f"{PREFIX}tenant": "acme"}, (key,))
    assert chosen({key: "mine"}, {key: "true"}) == ({key: "mine"}, (key,))


def test_labels_by_hand_and_of_earlier_pods_stay_and_of_the_same_key_the_new_pods_value_counts() -> None:
    held = {f"{PREFIX}tenant": "acme", f"{PREFIX}app": "old", "example.com/by-hand": "yes"}
    found = chosen(held, {f"{PREFIX}tenant": "umbrella"})
    assert found.labels == {**held, f"{PREFIX}tenant": "umbrella"}
    assert held[f"{PREFIX}tenant"] == "acme", "records share their labels: they are never changed in place"


def test_a_pod_cannot_fill_a_record_but_can_change_what_is_there() -> None:
    pod = {f"{PREFIX}l{number:03d}": "x" for number in range(LABELS_AT_MOST + 5)}
    first = chosen({"example.com/not-counted": "x"}, pod)
    assert (len(first.labels), len(first.ignored)) == (LABELS_AT_MOST + 1, 5)
    again = chosen(first.labels, {f"{PREFIX}l000": "y", f"{PREFIX}new": "z"})
    assert (again.labels[f"{PREFIX}l000"], again.ignored) == ("y", (f"{PREFIX}new",))


def test_labels_that_change_nothing_cost_no_second_table() -> None:
    held = {f"{PREFIX}tenant": "acme"}
    assert chosen(held, {f"{PREFIX}tenant": "acme", "app": "web"}).labels is held


@given(LABELS, LABELS)
def test_whatever_a_pod_says_only_free_and_valid_keys_change_and_nothing_is_lost(
    held: dict[str, str], pod: dict[str, str]
) -> None:
    found = chosen(held, pod)
    assert held.keys() <= found.labels.keys()
    for key, value in found.labels.items():
        if value != held.get(key):
            assert value == pod[key]
            assert key.startswith(PREFIX)
            assert is_label(key, value)
            assert not is_reserved(key)
    wanted = {key for key in pod if key.startswith(PREFIX)}
    assert set(found.ignored) == {key for key in wanted if found.labels.get(key) != pod[key]} | {
        key for key in wanted if is_reserved(key) or not is_label(key, pod[key])
    }
