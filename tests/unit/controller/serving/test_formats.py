"""Drives that their node has just made."""

from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common.calls.singleflight import SingleFlight
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.serving.formats import Formats
from unit.controller.builders import drive_record, ledger_of
from unit.controller.terms import Events, term_of


async def test_a_new_drive_that_cannot_be_as_its_node_says_is_not_registered_and_its_neighbour_is() -> None:
    term = term_of(ledger_of(), Events())
    formats = Formats(term, Nodes(term, online_seconds=0), SingleFlight())
    absurd, fine = replace(drive_record(), total=2**63 - 1), drive_record()

    refused = await formats._register("n1", m.FormatResult(name="sda", drive=absurd))
    taken = await formats._register("n1", m.FormatResult(name="sdb", drive=fine))
    assert (refused.drive, "total: " in refused.error) == (None, True)
    assert (taken.drive, taken.error) == (fine, "")
    assert list(term.ledger.drives) == [fine.fsuuid]
