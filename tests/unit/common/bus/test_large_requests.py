"""Requests that take milliseconds to read do not stop the loop one after another."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from nats.micro.request import Request

import directpv_common.protocol.messages as m
from directpv_common.bus import service
from directpv_common.bus.service import Dispatcher
from directpv_common.protocol.api import Controller
from directpv_common.protocol.wire import encode, pack

MANY = 8


class Sent:
    """A request as the client hands it over; keeps what it is answered."""

    def __init__(self, message: object) -> None:
        self.headers: dict[str, str] = {}
        self.data = pack(encode(message), self.headers)
        self.answers: list[bytes] = []

    async def respond(self, data: bytes, headers: object = None) -> None:
        self.answers.append(data)


def named(number: int, places: int) -> m.CreateVolume:
    terms = tuple({"directpv.min.io/node": f"worker-{each:05}"} for each in range(places))
    return m.CreateVolume(name=f"v{number}", preferred=terms)


async def turns_of(requests: list[Sent], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return in which turn of the loop each request was read."""
    turn, read, original = 0, [], service.decode

    def noting(data: bytes, kind: Any) -> Any:
        read.append(turn)
        return original(data, kind)

    async def handler(request: m.CreateVolume) -> m.VolumeId:
        return m.VolumeId(name=request.name)

    monkeypatch.setattr(service, "decode", noting)
    accept: Callable[[Any], Any] = Dispatcher().accept(Controller.VOLUME_CREATE, handler)
    for request in requests:
        await accept(cast(Request, request))
    async with asyncio.timeout(20):
        while not all(request.answers for request in requests):
            turn += 1
            await asyncio.sleep(0)
    return read


async def test_of_large_requests_that_come_at_once_one_is_read_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Sent(named(number, places=10_000)) for number in range(MANY)]

    turns = await turns_of(requests, monkeypatch)
    assert len(turns) == len(set(turns)) == MANY
    assert [request.answers for request in requests] == [[encode(m.VolumeId(name=f"v{n}"))] for n in range(MANY)]


async def test_small_requests_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Sent(named(number, places=1)) for number in range(MANY)]

    assert len(set(await turns_of(requests, monkeypatch))) == 1
