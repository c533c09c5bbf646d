"""What the controller exposes before anything has happened."""

from prometheus_client import generate_latest

from directpv_controller.admission.core import excess, links
from directpv_controller.serving.metrics import CUT_OFF, Figures
from support.prometheus import parsed, values


def test_the_first_that_is_cut_off_is_seen_to_be_counted() -> None:
    """Prometheus sees growth only in a series that was there before."""
    exposed = parsed(generate_latest(Figures().registry).decode())

    assert values(exposed, "directpv_controller_bus_cuts_total", "role") == {(role,): 0 for role in CUT_OFF}
    assert {*CUT_OFF} == {links.NODE, links.FORMER_NODE, links.FORMER_CONTROLLER, *excess.ROLES}
