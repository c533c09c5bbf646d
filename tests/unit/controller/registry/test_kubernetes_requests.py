"""What becomes of requests of upstream's plugin when they change, or cannot be done, while they are worked on."""

import asyncio
import copy
from types import SimpleNamespace
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import Busy, Unavailable
from directpv_controller.registry.kubernetes.apiserver.client import Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Missing
from directpv_controller.registry.kubernetes.editing import requests as module
from directpv_controller.registry.kubernetes.editing.requests import INIT_REQUESTS, NODES, TRIES, Requests

DEVICE = m.Device(name="sdb", id="8:16$x", major_minor="8:16", size=1)
Object = dict[str, Any]


class Shelf:
    """Objects by name, with the two calls that are used."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {obj["metadata"]["name"]: obj for obj in objects}
        self.on_replace = list[Object]()
        """Written by somebody else right after us, one per write of ours."""

    async def get(self, resource: Resource, name: str) -> Object:
        if name not in self.objects:
            raise Missing(name)
        return copy.deepcopy(self.objects[name])

    async def replace(self, resource: Resource, obj: Object) -> Object:
        self.objects[obj["metadata"]["name"]] = self.on_replace.pop() if self.on_replace else obj
        return obj


class Bus:
    """A node that answers after so many failures."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.asked = failures, 0

    async def call(self, *_: object, **__: object) -> m.DeviceList:
        self.asked += 1
        if self.asked <= self.failures:
            raise Unavailable("nobody answers")
        return m.DeviceList(node="n1", devices=(DEVICE,))


def wants(refresh: bool = True, name: str = "n1") -> Object:
    return {"metadata": {"name": name}, "spec": {"refresh": refresh}, "status": {"devices": []}}


def pending() -> Object:
    device = {"id": DEVICE.id, "name": DEVICE.name, "force": False}
    meta = {"name": "r1", "labels": {"directpv.min.io/node": "n1"}}
    return {"metadata": meta, "spec": {"devices": [device]}, "status": {"status": "Pending", "results": []}}


class Node:
    """Formats, after so many failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.formats = list(failures), 0

    async def init(self, request: m.InitDevices) -> m.FormatResults:
        self.formats += 1
        if self.failures:
            raise self.failures.pop()
        return m.FormatResults(node=request.node, results=(m.FormatResult(name="sdb", error="it is in use"),))


def requests(shelf: Shelf, bus: Bus, node: Node) -> Requests:
    term = SimpleNamespace(bus=bus, require_lead=lambda: None)
    return Requests(shelf, term, node.init, init_requests=True)  # type: ignore[arg-type]


async def ended(made: Requests) -> None:
    async with asyncio.timeout(10):
        while made._running:
            await asyncio.gather(*made._running.values())
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


def hear(made: Requests, resource: Resource, obj: Object) -> None:
    work = made._nodes if resource is NODES else made._requests
    made._take(work, "changed", obj)


async def test_a_refresh_that_is_asked_for_again_while_the_first_is_answered_is_answered_too() -> None:
    shelf, bus = Shelf(wants()), Bus()
    shelf.on_replace = [wants()]  # the plugin asks again between our write and the end of our work
    made = requests(shelf, bus, Node())
    hear(made, NODES, wants())
    hear(made, NODES, wants())

    await ended(made)

    assert not shelf.objects["n1"]["spec"]["refresh"]
    assert bus.asked == 2


async def test_devices_are_looked_for_until_their_node_answers_however_long_it_was_away() -> None:
    shelf, bus = Shelf(wants()), Bus(failures=5 * TRIES)
    made = requests(shelf, bus, Node())
    hear(made, NODES, wants())

    await ended(made)

    assert shelf.objects["n1"]["status"]["devices"][0]["name"] == "sdb"


async def test_nobody_asks_a_node_any_more_when_the_request_was_taken_back() -> None:
    shelf, bus = Shelf(wants(refresh=False)), Bus()
    made = requests(shelf, bus, Node())
    hear(made, NODES, wants())
    hear(made, NODES, wants(name="gone"))

    await ended(made)

    assert bus.asked == 0


async def test_a_request_for_a_node_that_formats_just_now_waits_for_it() -> None:
    shelf, node = Shelf(pending()), Node(Busy("another call formats there"))
    made = requests(shelf, Bus(), node)
    hear(made, INIT_REQUESTS, pending())

    await ended(made)

    assert shelf.objects["r1"]["status"]["status"] == "Processed"
    assert node.formats == 2


async def test_a_request_is_worked_on_once_even_if_it_is_changed_meanwhile() -> None:
    shelf, node = Shelf(pending()), Node()
    made = requests(shelf, Bus(), node)
    hear(made, INIT_REQUESTS, pending())
    hear(made, INIT_REQUESTS, pending())

    await ended(made)

    assert node.formats == 1


async def test_formatting_is_not_tried_for_ever() -> None:
    shelf, node = Shelf(pending()), Node(*(Unavailable("nobody answers") for _ in range(5 * TRIES)))
    made = requests(shelf, Bus(), node)
    hear(made, INIT_REQUESTS, pending())

    await ended(made)

    assert node.formats == TRIES
