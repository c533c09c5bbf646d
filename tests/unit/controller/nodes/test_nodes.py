"""Nodes as the leader shows them."""

import pytest

import directpv_common.messages as m
from directpv_common.errors import InvalidToken
from directpv_common.wire import decode, encode
from directpv_controller.nodes.nodes import Nodes
from unit.controller.builders import drive_record, ledger_of
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


async def test_a_caller_of_an_earlier_version_who_knows_of_no_pages_gets_all_nodes_at_once() -> None:
    page = nodes_with_drives(1_500).page(decode(b"{}", m.ListNodes))

    assert (len(page.nodes), page.next) == (1_500, "")


@pytest.mark.parametrize("token", ["x", "bjE6", "ZDE6YQ=="])
async def test_a_token_that_was_not_handed_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        nodes_with_drives(1).page(m.ListNodes(paged=True, token=token))
