"""What NATS asks and is answered; real servers read the answers in tests/integration/kubernetes_admission."""

import base64
import json
from typing import Any

import pytest

from directpv_common.access.claims import admission, read_request, refusal
from directpv_common.access.installation import keys_of
from directpv_common.access.nkey import Kind, Nkey, kept_key, new_nkey, signed
from directpv_common.access.roles import Access
from directpv_common.access.tokens import expiry_of, inbox_of
from directpv_common.protocol.errors import InvalidRequest

ISSUER = Nkey(bytes(32), Kind.ACCOUNT)


def part(text: bytes, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.split(b".")[number] + b"=="))
    return found


def asked(**more: object) -> bytes:
    info = {"kind": "Leafnode", "name": "n1", "host": "10.0.0.1", "nonce": "abc"}
    options = {"nkey": "U", "sig": "s", **more}
    nats = {"server_id": {"id": "N1"}, "user_nkey": "UX", "client_info": info, "connect_opts": options}
    return b"e30." + base64.urlsafe_b64encode(json.dumps({"nats": nats, "iat": 17}).encode()).rstrip(b"=") + b".sig"


def test_a_request_is_read_with_all_that_is_shown() -> None:
    request = read_request(asked(auth_token="t"))
    assert (request.server, request.user, request.kind, request.name) == ("N1", "UX", "Leafnode", "n1")
    assert (request.nonce, request.nkey, request.signature, request.token) == ("abc", "U", "s", "t")


@pytest.mark.parametrize("data", [b"", b"a", b"a.b.c", b"a.e30.c", b"a.WzFd.c", "ä.ö.ü".encode()])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_request(data)


def test_an_answer_is_signed_by_the_issuer_and_good_for_one_server_and_connection() -> None:
    answer = admission(read_request(asked()), Access(("a",), ("b",)), ISSUER, name="n", now=5, expires=9)
    claims = part(answer, 1)
    assert (claims["aud"], claims["sub"], claims["iss"], claims["iat"]) == ("N1", "UX", ISSUER.public, 5)
    user = part(claims["nats"]["jwt"].encode(), 1)
    assert (user["exp"], user["sub"], user["iss"]) == (9, "UX", ISSUER.public)
    assert user["nats"]["allowed_connection_types"] == ["LEAFNODE"]
    assert user["nats"]["pub"] == {"allow": ["a"]}
    assert ISSUER.sign(answer.rpartition(b".")[0]) == answer.rpartition(b".")[2]


def test_who_may_do_nothing_may_not_do_everything() -> None:
    answer = admission(read_request(asked()), Access((), ()), ISSUER, name="n", now=5)
    user = part(part(answer, 1)["nats"]["jwt"].encode(), 1)["nats"]
    assert user["pub"] == user["sub"] == {"deny": [">"]}


def test_a_refusal_has_a_reason_and_no_user() -> None:
    nats = part(refusal(read_request(asked()), "why", ISSUER, now=5), 1)["nats"]
    assert nats["error"] == "why"
    assert "jwt" not in nats


def test_only_who_has_the_key_can_sign_with_it() -> None:
    key, other = new_nkey(), new_nkey()
    signature = key.answer("nonce").decode()
    assert signed(key.public, signature, b"nonce")
    assert not signed(key.public, signature, b"other")
    assert not signed(other.public, signature, b"nonce")


@pytest.mark.parametrize("public", ["", "U", "ü", "A" * 56, ISSUER.public, Nkey(bytes(32)).seed])
@pytest.mark.parametrize("signature", ["", "ü", "=", "AAAA", "A" * 86])
def test_what_is_no_key_or_no_signature_has_signed_nothing(public: str, signature: str) -> None:
    assert not signed(public, signature, b"nonce")


def test_keys_of_an_installation_are_each_others_strangers_and_the_same_again() -> None:
    keys, again, others = keys_of("a" * 64), keys_of(f" {'a' * 64}\n"), keys_of("b" * 64)
    public = [keys.issuer.public, keys.controller.public, keys.gateway.public, keys.route]
    assert len(set(public)) == len(public)
    assert keys.controller.public == again.controller.public != others.controller.public
    assert keys.issuer.public.startswith("A")


def test_a_secret_that_could_be_guessed_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest, match="guessed") as refused:
        keys_of("short")
    assert "short " not in refused.value.message.replace("shorter", "")


@pytest.mark.parametrize("damage", ["", "SU", "half of a seed", "not there"])
def test_a_nodes_key_is_kept_and_made_anew_if_it_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, damage: str
) -> None:
    path = tmp_path_factory.mktemp("node") / "bus" / "node.nkey"
    first = kept_key(path)
    assert kept_key(path).public == first.public
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    if damage == "not there":
        path.unlink()
    else:
        path.write_text(first.seed[:20] if damage == "half of a seed" else damage)
    path.with_name("node.nkey.new").write_text("left by one that was killed")
    second = kept_key(path)
    assert second.public != first.public
    assert kept_key(path).public == second.public


def test_tokens_say_when_they_end_and_have_inboxes_of_their_own() -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 7}').decode().rstrip("=")
    assert expiry_of(f"a.{claims}.c") == 7
    assert [expiry_of(text) for text in ("", "a.b", "a.e30.c", "ü.ü.ü")] == [0] * 4
    assert inbox_of("a") != inbox_of("b")
