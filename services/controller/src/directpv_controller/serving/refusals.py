"""Tells of volumes that were not placed: once for each reason, for provisioners repeat their call for ever."""

from collections import OrderedDict
from typing import Final

from directpv_common.bus.events import Events
from directpv_common.protocol.errors import DirectPVError
from directpv_controller.core.placing.wanted import Wanted

REMEMBERED: Final = 1_000
"""Volumes whose last refusal is known; of others it may be told twice."""
PLACES_TOLD: Final = 100
"""With Immediate binding all nodes of the cluster are asked for: the event must fit into a message."""


class Refusals:
    """Of one term of leadership."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: OrderedDict[str, str] = OrderedDict()

    def tell(self, wanted: Wanted, error: DirectPVError) -> None:
        """Emit ``volume.refused``, unless the last refusal of the volume said the same."""
        if self._told.get(wanted.name) == error.message:
            return
        self._told[wanted.name] = error.message
        self._told.move_to_end(wanted.name)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        self._events.emit(
            "volume",
            "refused",
            wanted.name,
            cause=error.message,
            capacity=wanted.required,
            parameters=wanted.parameters,
            preferred=wanted.preferred[:PLACES_TOLD],
            requisite=wanted.requisite[:PLACES_TOLD],
        )

    def forget(self, name: str) -> None:
        """The volume was placed: another refusal is news."""
        self._told.pop(name, None)
