"""What the controller exposes before anything has happened, and of what is not as it should be."""

from prometheus_client import generate_latest

import directpv_common.protocol.messages as m
from directpv_controller.admission.core import excess, links
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.serving.metrics import CUT_OFF, Figures
from support.prometheus import parsed, values
from unit.controller.builders import GIB, drive_record, held, ledger_of, volume_record
from unit.controller.reports import replace, report
from unit.controller.terms import Events, term_of


def test_the_first_that_is_cut_off_is_seen_to_be_counted() -> None:
    """Prometheus sees growth only in a series that was there before."""
    exposed = parsed(generate_latest(Figures().registry).decode())

    assert values(exposed, "directpv_controller_bus_cuts_total", "role") == {(role,): 0 for role in CUT_OFF}
    assert {*CUT_OFF} == {links.NODE, links.FORMER_NODE, links.FORMER_CONTROLLER, *excess.ROLES}


async def test_drives_that_were_promised_too_much_and_volumes_that_several_drives_show_are_counted() -> None:
    first, second = drive_record(GIB), drive_record(9 * GIB)
    figures, ledger = Figures(), ledger_of(first, second)
    figures.term = term_of(ledger, Events())
    figures.nodes = Nodes(figures.term, online_seconds=0)

    def counted() -> tuple[float, ...]:
        exposed = parsed(generate_latest(figures.registry).decode())
        names = ("drives_overcommitted", "volumes_contested")
        return tuple(values(exposed, f"directpv_controller_{name}")[()] for name in names)

    assert counted() == (0, 0)
    report(ledger, held(first, volume_record("large", first, 2 * GIB)))
    for drive in (first, second):
        twice = m.HeldVolume(record=volume_record("v1", drive), contested=True)
        report(ledger, replace(held(drive, generation=2), volumes=(twice,)))
    assert counted() == (1, 1)
