"""Who is let in, by what he shows."""

from typing import Any

import pytest

from directpv_common.access.claims import Request
from directpv_common.access.nkey import Nkey, new_nkey
from directpv_common.protocol.errors import Conflict, FailedPrecondition, InvalidRequest
from directpv_common.protocol.names import BUS_AUDIENCE
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.core.decisions import Admitted, AskAddress, AskToken, Refused, decide, person
from directpv_controller.admission.core.keys import NodeKeys, check_pod
from directpv_controller.admission.core.links import node_in, node_user
from directpv_controller.admission.core.tokens import POD_NAME, POD_UID, account_of, checked_token, node_of, pod_of

SUBJECTS, NOW = Subjects("p.v1"), 1_000_000
USER = "system:serviceaccount:directpv:"


def request(key: Nkey | None, *, kind: str = "Leafnode", name: str = "n1", token: str = "", **more: Any) -> Request:
    shown = {"nkey": key.public, "signature": key.answer("nonce").decode()} if key else {"nkey": "", "signature": ""}
    about = {"server": "N", "user": "U", "host": "10.0.0.1", "nonce": "nonce", "now": NOW, "encrypted": True}
    return Request(kind=kind, name=name, token=token, **{**about, **shown, **more})


def known(**keys: Nkey) -> NodeKeys:
    found = NodeKeys()
    for node, key in keys.items():
        found.put(node, key.public)
    return found


def test_a_leaf_comes_in_by_its_nodes_key_for_as_long_as_it_likes() -> None:
    key = new_nkey()
    verdict = decide(request(key), known(n1=key), SUBJECTS, NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.expires == 0
    assert "p.v1.state.n1" in verdict.access.publish


@pytest.mark.parametrize("more", [{"name": "n2"}, {"nonce": "other"}, {"signature": "AAAA"}, {"kind": "Router"}])
def test_a_leaf_with_another_name_or_without_the_key_itself_is_refused(more: dict[str, str]) -> None:
    key = new_nkey()
    assert isinstance(decide(request(key, **more), known(n1=key), SUBJECTS, NOW), Refused)


def test_a_leaf_with_a_key_that_is_not_known_is_refused_and_a_client_may_stand_at_the_door_for_a_while() -> None:
    key = new_nkey()
    assert isinstance(decide(request(key), known(), SUBJECTS, NOW), Refused)
    verdict = decide(request(key, kind="Client"), known(), SUBJECTS, NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.expires > NOW
    assert verdict.access.publish == (f"p.v1.door.{key.public}",)


def test_the_key_of_a_node_is_a_strangers_for_a_client() -> None:
    key = new_nkey()
    verdict = decide(request(key, kind="Client"), known(n1=key), SUBJECTS, NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.access.publish == (f"p.v1.door.{key.public}",)


def test_who_shows_a_key_in_clear_is_asked_about_and_who_shows_a_token_in_clear_is_refused() -> None:
    key = new_nkey()
    verdict = decide(request(key, encrypted=False), known(n1=key), SUBJECTS, NOW)
    assert verdict == AskAddress("10.0.0.1", decide(request(key), known(n1=key), SUBJECTS, NOW))
    assert isinstance(decide(request(key, encrypted=False), known(), SUBJECTS, NOW), Refused)
    door = decide(request(key, kind="Client", encrypted=False), known(), SUBJECTS, NOW)
    assert isinstance(door, AskAddress)
    assert door.then is not None
    assert door.then.name == "stranger"
    assert isinstance(
        decide(request(None, kind="Client", token="t.t.t", encrypted=False), known(), SUBJECTS, NOW), Refused
    )


def test_who_shows_a_token_or_nothing_is_asked_about() -> None:
    assert decide(request(None, kind="Client", token="t.t.t"), known(), SUBJECTS, NOW) == AskToken("t.t.t")
    assert decide(request(None, kind="Client"), known(), SUBJECTS, NOW) == AskAddress("10.0.0.1")
    assert decide(request(None), known(), SUBJECTS, NOW) == AskAddress("10.0.0.1")


@pytest.mark.parametrize("token", ["t", "t.t", "t.t.t.t", "a b.c.d", "a.b\n.c", "ä.b.c", "..", "a.b." + "c" * 20_000])
def test_who_shows_what_is_no_token_is_refused_without_asking(token: str) -> None:
    assert isinstance(decide(request(None, kind="Client", token=token), known(), SUBJECTS, NOW), Refused)


def test_a_person_stays_no_longer_than_the_token_and_needs_an_account_that_has_a_role() -> None:
    verdict = person("no.end", "directpv-administrator", SUBJECTS, NOW)
    assert isinstance(verdict, Admitted)
    assert NOW < verdict.expires <= NOW + 3600
    for account in ("", "directpv-node", "directpv-controller", "default"):
        assert isinstance(person("t", account, SUBJECTS, NOW), Refused)


@pytest.mark.parametrize("name", [f"{USER}a", "system:serviceaccount:other:a", "a", "", "system:admin"])
def test_an_account_is_one_of_our_namespace(name: str) -> None:
    assert account_of({"username": name}, "directpv") == ("a" if name.startswith(USER) else "")


def test_a_key_is_one_nodes_and_a_node_has_one_key() -> None:
    one, two = new_nkey(), new_nkey()
    keys = known(n1=one)
    with pytest.raises(Conflict, match="n1"):
        keys.check("n2", one.public)
    keys.put("n1", two.public)
    assert (keys.node_of(one.public), keys.node_of(two.public), len(keys)) == ("", "n1", 1)
    keys.drop("n1")
    keys.drop("n1")
    assert keys.node_of(two.public) == ""


def test_a_key_that_two_nodes_keep_is_the_first_ones_and_the_others_as_soon_as_that_one_has_another() -> None:
    shared = new_nkey().public
    for end in (lambda keys: keys.drop("n1"), lambda keys: keys.put("n1", new_nkey().public)):
        keys = NodeKeys()
        for node in ("n1", "n2", "n1"):
            keys.put(node, shared)
        assert keys.node_of(shared) == "n1"
        end(keys)
        assert keys.node_of(shared) == "n2"


def test_a_pod_registers_one_key_and_another_pod_another() -> None:
    kept = {"key": "K1", "pod": "p1"}
    check_pod(kept, "n", "K1", "p1")
    check_pod(kept, "n", "K2", "p2")
    check_pod({"key": "K1"}, "n", "K2", "p1")  # a version before kept no pod
    for key in ("", "K1"):
        with pytest.raises(FailedPrecondition, match="delete the pod"):
            check_pod({"key": key, "pod": "p1"}, "n", "K2", "p1")


def test_who_was_let_in_is_known_by_his_name_and_nobody_can_call_himself_so() -> None:
    assert node_in(node_user("n1.example", "UK")) == ("n1.example", "UK")
    for user in ("administrator", "UABC", "", "former-node", "nodes n1 UK"):
        assert node_in(user) is None


def reviewed(**more: Any) -> dict[str, Any]:
    user = {"username": f"{USER}directpv-node", "extra": {POD_NAME: ["p"], POD_UID: ["u"]}}
    return {"authenticated": True, "audiences": [BUS_AUDIENCE], "user": {**user, **more}}


def test_a_token_of_the_nodes_pod_says_which_pod_it_is() -> None:
    assert pod_of(reviewed(), "directpv") == ("p", "u")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "error": "token has expired"},
        {**reviewed(), "audiences": ["https://kubernetes.default.svc"]},
        {name: value for name, value in reviewed().items() if name != "audiences"},
        reviewed(username="admin"),
        reviewed(username="system:serviceaccount:other:directpv-node"),
        reviewed(extra={}),
        reviewed(extra={POD_NAME: ["p"]}),
        reviewed(extra=None),
    ],
)
def test_any_other_token_is_refused_with_the_cause(status: dict[str, Any]) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        pod_of(status, "directpv")
    assert status.get("error", "") in refused.value.message


@pytest.mark.parametrize("found", [{"uid": "other", "node": "n"}, {"uid": "u", "node": ""}])
def test_a_later_pod_of_this_name_or_one_without_a_node_says_nothing(found: dict[str, str]) -> None:
    pod = pod_of(reviewed(), "directpv")
    with pytest.raises(FailedPrecondition):
        node_of(pod, {"metadata": {"uid": found["uid"]}, "spec": {"nodeName": found["node"]}})


@pytest.mark.parametrize("text", ["a b", "a\nb", "ä", "\x00", "a.b"])
def test_what_no_token_is_made_of_goes_to_nobody(text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_token(text)
