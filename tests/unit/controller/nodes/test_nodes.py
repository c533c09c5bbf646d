"""Nodes as the leader shows them."""

import asyncio
import time

import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidToken, Unavailable
from directpv_common.protocol.wire import decode, encode
from directpv_controller.nodes import nodes as nodes_module
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.serving.api import Api
from directpv_controller.serving.metrics import Figures
from unit.controller.builders import drive_record, ledger_of, request
from unit.controller.terms import Events, term_of

MANY = 5_000
MESSAGE = 1024 * 1024
"""Bytes that the bus carries."""


def nodes_with_drives(count: int) -> Nodes:
    drives = (drive_record(node=f"n{number:05}", topology={"rack": "r" * 100}) for number in range(count))
    return Nodes(term_of(ledger_of(*drives), Events()), online_seconds=0)


def all_pages(nodes: Nodes, limit: int = 0) -> list[m.NodePage]:
    pages = [nodes.page(m.ListNodes(paged=True, limit=limit))]
    while pages[-1].next:
        pages.append(nodes.page(m.ListNodes(paged=True, limit=limit, token=pages[-1].next)))
    return pages


async def test_thousands_of_nodes_are_listed_page_by_page_and_no_page_is_larger_than_a_message() -> None:
    pages = all_pages(nodes_with_drives(MANY))

    assert [node.info.name for page in pages for node in page.nodes] == [f"n{number:05}" for number in range(MANY)]
    assert max(len(encode(page)) for page in pages) < MESSAGE


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
async def test_pages_of_any_size_give_every_node_once(limit: int) -> None:
    pages = all_pages(nodes_with_drives(10), limit)

    assert [node.info.name for page in pages for node in page.nodes] == [f"n{number:05}" for number in range(10)]
    assert len(pages[0].nodes) == min(limit, 10)


async def test_a_page_of_nodes_looks_at_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients read page after page: to sort thousands of names for each would stop the leader again and again."""
    nodes = nodes_with_drives(MANY)
    token = nodes.page(m.ListNodes(paged=True, limit=2_000)).next
    looked, original = [], Nodes.knows
    monkeypatch.setattr(Nodes, "knows", lambda self, name: looked.append(name) or original(self, name))
    monkeypatch.setattr(Nodes, "_names", None)

    page = nodes.page(m.ListNodes(paged=True, limit=10, token=token))
    assert [node.info.name for node in page.nodes] == [f"n{number:05}" for number in range(1_000, 1_010)]
    assert len(looked) <= 11


async def test_a_caller_of_an_earlier_version_who_knows_of_no_pages_gets_all_nodes_at_once() -> None:
    page = nodes_with_drives(1_500).page(decode(b"{}", m.ListNodes))

    assert (len(page.nodes), page.next) == (1_500, "")


@pytest.mark.parametrize("token", ["x", "bjE6", "ZDE6YQ=="])
async def test_a_token_that_was_not_handed_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        nodes_with_drives(1).page(m.ListNodes(paged=True, token=token))


def heartbeat(name: str, *drives: m.DriveRecord) -> m.NodeState:
    info = m.NodeInfo(name=name, topology={})
    return m.NodeState(info=info, boot="b", sequence=1, drives={drive.fsuuid: 1 for drive in drives})


def shown(nodes: Nodes) -> list[str]:
    return [node.info.name for node in nodes.page(m.ListNodes()).nodes]


async def test_a_node_with_drives_that_is_heard_too_is_listed_once_and_one_that_was_never_heard_not_at_all() -> None:
    nodes = nodes_with_drives(3)
    async with nodes.running():
        for name in ("n00001", "n99999"):
            nodes.worker(name).heard(heartbeat(name), "now")
        nodes.worker("never-heard")

        assert [node.info.name for node in all_pages(nodes, 2)[0].nodes] == ["n00000", "n00001"]
        assert shown(nodes) == ["n00000", "n00001", "n00002", "n99999"]


async def test_a_node_without_drives_is_forgotten_once_it_is_silent_for_long() -> None:
    drive = drive_record(node="with-drive")
    nodes = Nodes(term_of(ledger_of(drive), Events()), online_seconds=0)
    async with nodes.running():
        nodes.worker("with-drive").heard(heartbeat("with-drive", drive), "now")
        nodes.worker("without").heard(heartbeat("without"), "now")
        nodes.worker("busy").heard(heartbeat("busy"), "now")
        nodes.worker("never-heard")
        while any(worker.pulling for worker in nodes._workers.values()):
            await asyncio.sleep(0)
        nodes.worker("busy").pulling = True

        nodes.forget_gone(time.monotonic() - 60)
        assert shown(nodes) == ["busy", "with-drive", "without"]

        nodes.forget_gone(time.monotonic() + 1)
        assert shown(nodes) == ["busy", "with-drive"]
        assert nodes._workers.keys() == {"busy", "with-drive"}

        nodes.worker("without").heard(heartbeat("without"), "now")
        assert shown(nodes) == ["busy", "with-drive", "without"], "it is known again when it is heard"


async def test_nodes_are_looked_through_for_such_that_are_gone_while_a_leader_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes_module, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(nodes_module, "FORGET_SECONDS", -1.0)  # whoever is silent for no time at all
    nodes = Nodes(term_of(ledger_of(drive_record(node="with-drive")), Events()), online_seconds=0)
    async with nodes.running(), asyncio.timeout(20):
        nodes.worker("without").heard(heartbeat("without"), "now")
        assert shown(nodes) == ["with-drive", "without"]
        while "without" in shown(nodes):
            await asyncio.sleep(0.01)

    assert shown(nodes) == ["with-drive"]


async def test_until_nodes_have_reported_nothing_is_placed_and_nothing_is_said_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a new registry: a volume that is not known may be on a drive that was not taken in yet."""
    monkeypatch.setattr(nodes_module, "REPORT_SECONDS", 0.01)
    term = term_of(ledger_of(drive_record()), Events())
    api = Api(term, Nodes(term, online_seconds=0), Figures())

    for work in (api.create_volume(request("v1")), api.delete_volume(m.VolumeId(name="v1"))):
        with pytest.raises(Unavailable, match="still reporting"):
            await work
    assert term.ledger.volumes == {}


async def test_a_node_that_tells_how_it_is_without_end_is_looked_at_so_often_and_others_as_ever() -> None:
    nodes = Nodes(term_of(ledger_of(), Events()), online_seconds=0)
    often, looked = nodes_module.HEARTBEATS_AT_ONCE, 0

    class Told:
        def __init__(self, name: str) -> None:
            self.subject = nodes._term.bus.subjects.state(name)

        @property
        def data(self) -> bytes:
            nonlocal looked
            looked += 1
            return b"malformed"

    begun = time.monotonic()
    for _ in range(100 * often):
        nodes._heard(Told("n1"))  # type: ignore[arg-type]
    seconds = time.monotonic() - begun
    assert often <= looked <= often + seconds * nodes_module.HEARTBEATS_EACH_SECOND + 1
    before = looked
    nodes._heard(Told("n2"))  # type: ignore[arg-type]
    assert looked == before + 1
