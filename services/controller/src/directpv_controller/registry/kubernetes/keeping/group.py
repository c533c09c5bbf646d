"""What is written together: the commits of one drive that waited for each other."""

import asyncio

from directpv_common.crd import Reservation
from directpv_common.protocol.errors import DirectPVError, Fenced, Unavailable
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.kubernetes.keeping.shelf import HeldVolume

Outcome = DirectPVError | None


class Entry:
    """What one commit wants of one drive."""

    def __init__(self, lease: KubernetesLease, future: "asyncio.Future[None]") -> None:
        self.lease, self.future = lease, future
        self.drive: DriveRecord | None = None
        self.puts: dict[str, VolumeRecord] = {}
        self.placed = False
        """Of these volumes nothing is anywhere yet."""
        self.removed: dict[str, VolumeRecord] = {}
        self.gone = False
        """The drive's object goes, after those of its volumes."""
        self.again: set[str] = set()
        """Volumes to be written even if nothing about them changes."""

    def settle(self, outcome: Outcome) -> None:
        """Tell who waits; nobody does for repairs."""
        if self.future.done():
            return
        if outcome is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(outcome)
            self.future.exception()  # looked at: an outcome that nobody waits for is no fault to be logged


class Group:
    """All that is written together."""

    def __init__(self, batch: list[Entry]) -> None:
        self.drive: DriveRecord | None = None
        self.puts: dict[str, VolumeRecord] = {}
        self.removed: dict[str, VolumeRecord] = {}
        self.gone = False
        self.again: set[str] = set()
        self.placed: set[str] = set()
        for entry in batch:
            self.drive = entry.drive or self.drive
            self.gone = entry.gone or (self.gone and entry.drive is None)
            for name in entry.removed:
                self.puts.pop(name, None)
            self.removed = {**self.removed, **entry.removed}
            for name, record in entry.puts.items():
                self.removed.pop(name, None)
                self.puts[name] = record
                self.placed |= {name} if entry.placed else set()
            self.again |= entry.again

    def reserved(self, held: dict[str, HeldVolume]) -> list[Reservation]:
        """Return what is reserved once this is written."""
        after = {name: volume.reservation for name, volume in held.items() if name not in self.removed}
        for name, record in self.puts.items():
            after[name] = Reservation(name, record.capacity, record.claim_id)
        return list(after.values())

    def reserves_otherwise(self, held: dict[str, HeldVolume]) -> bool:
        """Tell whether that differs from what is reserved now, however many volumes there are."""
        for name, record in self.puts.items():
            known = held.get(name)
            if known is None or known.reservation != Reservation(name, record.capacity, record.claim_id):
                return True
        return any(name in held for name in self.removed)


def outcome_of(entry: Entry, outcomes: dict[str, Outcome]) -> Outcome:
    """Return what became of a commit, or of a repair, whose drive was written."""
    names = [*entry.puts, *entry.removed] or [*entry.again]
    failures = [error for error in map(outcomes.get, names) if error is not None]
    if not failures:
        return None
    fatal = next((error for error in failures if isinstance(error, Fenced | OutcomeUnknown)), None)
    if fatal is not None:
        return fatal
    undone = len(names) == 1 and entry.drive is None and isinstance(failures[0], Unavailable)
    return failures[0] if undone else OutcomeUnknown(f"written in part: {failures[0].message}")
