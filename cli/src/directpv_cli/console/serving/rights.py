"""Whether who starts the console may ask what its pages show: better said at once than on each page."""

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.base import NAMESPACE
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError, Refused
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT

ADVICE = (
    f"the console needs the rights of an administrator of DirectPV: in a cluster, the Role {ADMINISTRATOR_ACCOUNT} in "
    f"namespace {NAMESPACE}; {OBSERVER_ACCOUNT} is for events and metrics (`kubectl directpv nats-context`)"
)


async def require(bus: Bus) -> None:
    """Ask what every page needs; whether anybody answers is another matter, which pages tell.

    Raises:
        Refused: The bus does not let us ask.
    """
    try:
        await bus.call(Controller.NODE_LIST, m.ListNodes(paged=True), patient=False)
    except Refused as error:
        raise Refused(f"{error.message}; {ADVICE}") from error
    except DirectPVError:
        return
