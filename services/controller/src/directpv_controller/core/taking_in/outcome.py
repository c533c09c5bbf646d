"""What an inventory means for the ledger: what is committed, then ordered, then told."""

from typing import Any, NamedTuple

from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_controller.core.placing.model import Change


class Event(NamedTuple):
    """Something to tell the world: noun, kind, id of the object, data."""

    noun: str
    kind: str
    subject: str
    data: dict[str, Any]


class Sealed(NamedTuple):
    """A volume that its drive keeps sealed for a move that the registry knows nothing of."""

    record: VolumeRecord
    move: str
    target: str


class Outcome:
    """What to commit, then what to order and what to tell."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.prepare: list[VolumeRecord] = []
        self.remove: list[VolumeRecord] = []
        self.unseal: list[Sealed] = []
        self.left: list[Sealed] = []
        """What moves have left on a drive that was away when they ended; ``target`` is that drive."""
        self.update: list[DriveRecord] = []
        self.used: list[VolumeRecord] = []
        """Volumes that are mounted elsewhere than when their drive was last looked at."""
        self.pods: list[VolumeRecord] = []
        """Volumes, as their node records them, whose pod is news; its labels are to be read first."""
        self.unkept: list[VolumeRecord] = []
        """Volumes that pods have used, and of whose PersistentVolume nothing is kept."""
        self.events: list[Event] = []
        self.unsettled = False
        """Something is left to be done later, of which the node will not remind us: look at the drive again."""

    def contested(self) -> dict[str, str]:
        """Return the volumes that were found where the registry does not have them, with the drive where it has."""
        found = (event for event in self.events if (event.noun, event.kind) == ("volume", "conflict"))
        return {event.subject: event.data["registered"] for event in found}

    def tell(self, noun: str, kind: str, subject: str, **data: Any) -> None:
        """Add an event."""
        self.events.append(Event(noun, kind, subject, data))
