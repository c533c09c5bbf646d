"""Events before there is a bus: kept, and published when it is there."""

from collections import deque
from typing import Any, Final

from directpv_common.bus.events import Events

_KEPT: Final = 1000


class Teller:
    """Takes events at any time; nothing that happens on the node waits for the bus."""

    def __init__(self) -> None:
        self._early: deque[tuple[tuple[str, str, str], dict[str, Any]]] = deque(maxlen=_KEPT)
        self._events: Events | None = None

    def emit(self, noun: str, kind: str, subject: str, **data: Any) -> None:
        """Tell of ``<noun>.<kind>`` about ``subject``."""
        if self._events is None:
            self._early.append(((noun, kind, subject), data))
        else:
            self._events.emit(noun, kind, subject, **data)

    def connect(self, events: Events) -> None:
        """Publish through ``events`` from now on, and first what was kept."""
        self._events = events
        while self._early:
            names, data = self._early.popleft()
            events.emit(*names, **data)

    @property
    def dropped(self) -> int:
        """Events that were pushed out of a full buffer."""
        return self._events.dropped if self._events is not None else 0
