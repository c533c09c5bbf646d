"""Requests that name every node of a large cluster, as the official provisioner does with Immediate binding."""

from collections.abc import Iterator
from typing import Any

import pytest

from directpv_controller.core.placing import placement
from directpv_controller.core.placing.placement import Index
from directpv_controller.core.placing.wanted import wanted_from
from unit.controller.builders import GIB, drive_record, ledger_of, on, place, request

NODES = 1_000
EVERYWHERE = on(*(f"n{number}" for number in range(NODES)))


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nodes whose drives were gone down."""
    names: list[str] = []
    original = Index._on

    def noting(self: Index, node: str) -> Iterator[Any]:
        names.append(node)
        return original(self, node)

    monkeypatch.setattr(Index, "_on", noting)
    return names


def test_nodes_that_are_full_are_not_gone_through_one_by_one(visited: list[str]) -> None:
    ledger = ledger_of(*(drive_record(GIB if n < 900 else 10 * GIB, node=f"n{n}") for n in range(NODES)))
    volume = place(ledger, required=5 * GIB, preferred=EVERYWHERE, requisite=EVERYWHERE)

    assert int(ledger.drives[volume.record.fsuuid].record.node[1:]) >= 900
    assert len(visited) <= placement.FEW_TERMS


def test_the_first_preferred_nodes_are_taken_in_their_order_and_preferred_ones_before_all_others() -> None:
    ledger = ledger_of(*(drive_record((10 + n) * GIB, node=f"n{n}") for n in range(NODES)))
    preferred = on(*(f"n{number}" for number in range(40, 10, -1)))

    for number in (40, 39):
        volume = place(ledger, f"v{number}", 40 * GIB, preferred=preferred, requisite=EVERYWHERE)
        assert ledger.drives[volume.record.fsuuid].record.node == f"n{number}"
    small = on(*(f"n{number}" for number in range(30)))
    volume = place(ledger, "late", 35 * GIB, preferred=small, requisite=EVERYWHERE)
    assert ledger.drives[volume.record.fsuuid].record.node == "n29", "of many preferred ones that with most space"


def test_a_hundred_thousand_places_are_read_in_one_pass() -> None:
    """Each place of one list looked for in the other would take many minutes: the test's own limit ends it then."""
    places = on(*(f"n{number}" for number in range(100_000)))
    wanted = wanted_from(request(preferred=places, requisite=(*reversed(places), {"zone": "z"})))

    assert len(wanted.preferred) == 100_000
    assert wanted.requisite == ({"zone": "z"},)


def test_only_the_very_terms_that_are_preferred_are_left_out_of_the_others() -> None:
    zone = {"zone": "z"}
    n1, n2 = on("n1", "n2")
    wanted = wanted_from(request(preferred=(n1, zone, {**n2, **zone}), requisite=(n1, {**n1, **zone}, zone, n2, n2)))

    assert [dict(term) for term in wanted.requisite] == [{**n1, **zone}, n2]
