"""Where more knock than can be decided about, those are let in for whom a server still waits."""

import base64
import json
from typing import Any

import pytest

from directpv_common.access.nkey import Kind, Nkey, new_nkey
from directpv_common.access.patience import SERVER_SECONDS
from directpv_common.process.lifecycle import background
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission import callout as module
from directpv_controller.admission.callout import Callout
from directpv_controller.admission.core.keys import NodeKeys
from support.node_client import eventually


class Asked:
    """A request of a server, and the connection on which the answer goes back."""

    def __init__(self, key: Nkey, server: str, answered: list[str]) -> None:
        info = {"kind": "Leafnode", "name": "n1", "host": "10.0.0.1", "nonce": "abc"}
        options = {"nkey": key.public, "sig": key.answer("abc").decode()}
        shown = {"client_info": info, "connect_opts": options, "client_tls": {}}
        nats = {"server_id": {"id": server}, "user_nkey": "U", **shown}
        claims = base64.urlsafe_b64encode(json.dumps({"nats": nats, "iat": 17}).encode()).rstrip(b"=")
        self.data, self.reply, self._client = b"e30." + claims + b".sig", server, self
        self._answered = answered

    async def publish(self, reply: str, data: bytes) -> None:
        self._answered.append(reply)


async def test_who_has_waited_for_longer_than_his_server_does_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, known, now = new_nkey(), NodeKeys(), [100.0]
    known.put("n1", key.public)
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    answered: list[str] = []
    outcomes: list[tuple[str, str]] = []
    nobody: Any = None
    callout = Callout(
        nobody, known, Subjects("p.v1"), [Nkey(bytes(32), Kind.ACCOUNT)], "directpv",
        lambda outcome, role, seconds: outcomes.append((outcome, role)),
    )  # fmt: skip

    async def come(*servers: str) -> None:
        for server in servers:
            message: Any = Asked(key, server, answered)
            await callout.heard(message)

    await come("first", "second")
    now[0] += SERVER_SECONDS + 1
    await come("third", "fourth")

    async def decided() -> bool:
        return len(outcomes) == 4

    async with background(callout.run()):
        await eventually(decided, "all are looked at")
    assert answered == ["third", "fourth"]
    assert outcomes == [("undecided", "late")] * 2 + [("admitted", "node")] * 2
