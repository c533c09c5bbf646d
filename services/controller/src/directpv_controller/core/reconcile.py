"""What one drive's inventory means for the ledger, and what the node must be told.

The drive is the truth about itself: what it carries is taken in, even if the registry does not know it. The registry
is the truth about what was promised: what the drive lacks is ordered. Nothing is concluded from absence on a drive
that cannot be read, and nothing is destroyed except volumes whose deletion was acknowledged.
"""

from typing import Any, NamedTuple

import msgspec

from directpv_common.protocol.messages import (
    DriveHealth,
    DriveRecord,
    DriveStatus,
    HeldDrive,
    HeldVolume,
    VolumeRecord,
    is_volume_name,
)
from directpv_controller.core import labels, prediction
from directpv_controller.core.ledger import Ledger, is_same
from directpv_controller.core.model import UNKNOWN, Change, Drive, Volume, merged
from directpv_controller.core.pods import pod_of

replace = msgspec.structs.replace


class Event(NamedTuple):
    """Something to tell the world: noun, kind, id of the object, data."""

    noun: str
    kind: str
    subject: str
    data: dict[str, Any]


class Outcome:
    """What to commit, then what to order and what to tell."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.prepare: list[VolumeRecord] = []
        self.remove: list[VolumeRecord] = []
        self.update: list[DriveRecord] = []
        self.used: list[VolumeRecord] = []
        """Volumes that are mounted elsewhere than when their drive was last looked at."""
        self.pods: list[VolumeRecord] = []
        """Volumes, as their node records them, whose pod is news; its labels are to be read first."""
        self.events: list[Event] = []
        self.unsettled = False
        """Something is left to be done later, of which the node will not remind us: look at the drive again."""

    def tell(self, noun: str, kind: str, subject: str, **data: Any) -> None:
        """Add an event."""
        self.events.append(Event(noun, kind, subject, data))


class Pages:
    """What was seen on a drive whose inventory comes in several parts."""

    def __init__(self) -> None:
        self.generation = UNKNOWN
        self.present: set[str] = set()
        self.strays = 0
        self.found: dict[tuple[str, str, str], dict[str, Any]] = {}
        """What was found that people must look at; see :mod:`~directpv_controller.core.told`."""

    def begin(self, held: HeldDrive) -> None:
        """Take note of a part; the first one tells the generation."""
        if self.generation == UNKNOWN:
            self.generation = held.generation
        self.present.update(held.purging)

    def is_whole(self, held: HeldDrive) -> bool:
        """Tell whether this part is the last one, and the drive stayed as it was while they were read."""
        return not held.more and held.generation == self.generation


def take_in(
    ledger: Ledger,
    node: str,
    boot: str,
    held: HeldDrive,
    *,
    pages: Pages | None = None,
    cordon_predicted: bool = False,
    read_pods: bool = False,
) -> Outcome:
    """Compare one drive of ``node`` with the ledger; memory shows the result at once.

    Args:
        ledger: The leader's memory.
        node: Name of the node that reports.
        boot: Run of the node's agent; generations of one run can be compared.
        held: The drive as its node sees it, or one part of it.
        pages: What the parts before showed; what is missing is known after the last.
        cordon_predicted: Whether a drive whose disk expects to fail takes no more volumes.
        read_pods: Whether the caller reads the labels of new pods, and takes them over together with the pod.
    """
    outcome = Outcome()
    drive = ledger.drives.get(held.record.fsuuid)
    if drive is not None and drive.known and drive.record.node != node:
        outcome.tell("drive", "conflict", drive.fsuuid, node=node, registered=drive.record.node)
        return outcome
    pages = pages or Pages()
    pages.begin(held)
    if drive is not None and drive.boot == boot and held.generation < drive.generation:
        return outcome
    over = drive is not None and drive.overcommitted
    seen = replace(held.record, node=node)
    policy = _Policy(cordon_predicted, same_run=drive is not None and drive.boot == boot)
    drive = _take_in_record(ledger, seen, policy, outcome)
    drive.boot, drive.generation, drive.missed = boot, pages.generation, 0
    if held.readable:
        _take_in_volumes(ledger, drive, held, pages, outcome)
    else:
        _take_in_uses(ledger, drive, held, outcome)
    _take_in_pods(ledger, outcome, read_pods)
    if drive.overcommitted and not over:
        outcome.tell("drive", "overcommitted", drive.fsuuid, allocated=drive.allocated, total=drive.record.total)
    return outcome


def change_of(ledger: Ledger, outcomes: list[Outcome]) -> Change | None:
    """Return what must be committed for ``outcomes``, as one change."""
    return merged([change for outcome in outcomes for change in outcome.changes], ledger.busy)


def noticed(ledger: Ledger, drive: Drive, health: DriveHealth) -> Outcome:
    """Take over how a drive is from its node's heartbeat, which comes before its inventory, and whatever its size."""
    outcome, was = Outcome(), drive.record.status.value
    record = replace(drive.record, status=health.status, conditions=health.conditions)
    outcome.changes.append(ledger.set_drive(drive, record))
    outcome.tell("drive", "changed", drive.fsuuid, node=record.node, status=record.status.value, was=was)
    return outcome


def lost(ledger: Ledger, drive: Drive) -> Outcome:
    """Note that the node of ``drive`` is online and does not report it any more."""
    outcome = Outcome()
    outcome.changes.append(ledger.set_drive(drive, replace(drive.record, status=DriveStatus.LOST, device="")))
    outcome.tell("drive", "lost", drive.fsuuid, node=drive.record.node)
    return outcome


class _Policy(NamedTuple):
    """What is done about a drive beyond taking it in."""

    cordon_predicted: bool
    same_run: bool

    def applied(self, before: DriveRecord | None, after: DriveRecord, outcome: Outcome) -> DriveRecord:
        """Return ``after`` as the policy wants it, and tell what it did."""
        if not self.cordon_predicted:
            return after
        ruled = prediction.cordoned(before, after, same_run=self.same_run)
        if ruled.unschedulable and not after.unschedulable:
            outcome.tell("drive", "cordoned", ruled.fsuuid, node=ruled.node, cause=prediction.predicted(ruled))
        return ruled


def _take_in_record(ledger: Ledger, seen: DriveRecord, policy: _Policy, outcome: Outcome) -> Drive:
    drive = ledger.drives.get(seen.fsuuid)
    if drive is None or not drive.known:
        record = policy.applied(None, seen, outcome)
        outcome.changes.append(ledger.register(record))
        outcome.tell("drive", "registered", seen.fsuuid, node=seen.node, device=seen.device, total=seen.total)
        if record != seen:
            outcome.update.append(record)
        return ledger.drives[seen.fsuuid]
    before = drive.record
    after = policy.applied(before, labels.observed(before, seen), outcome)
    if after != before:
        outcome.changes.append(ledger.set_drive(drive, after))
        outcome.tell(
            "drive", "changed", seen.fsuuid, node=seen.node, status=after.status.value, was=before.status.value
        )
    elif drive.fsuuid in ledger.doubtful:
        outcome.changes.append(ledger.set_drive(drive, after))
    if not labels.decided_alike(after, seen):
        outcome.update.append(after)
    return drive


def _take_in_volumes(ledger: Ledger, drive: Drive, held: HeldDrive, pages: Pages, outcome: Outcome) -> None:
    present = pages.present
    for found in held.volumes:
        present.add(found.record.name)
        pages.strays += _take_in_volume(ledger, drive, found, outcome)
    outcome.unsettled |= bool(held.purging)
    if not pages.is_whole(held):
        return
    ledger.set_strays(drive, pages.strays)
    if len(present) < len(drive.volumes) or not drive.volumes.keys() <= present:
        for name in drive.volumes.keys() - present:
            _missing(ledger, drive.volumes[name], outcome)


def _take_in_uses(ledger: Ledger, drive: Drive, held: HeldDrive, outcome: Outcome) -> None:
    """Take in where volumes of a drive are mounted that cannot be read: its node knows that all the same."""
    for found in held.volumes:
        known = ledger.volumes.get(found.record.name)
        if known is None or known.record.fsuuid != drive.fsuuid or not is_same(known.record, found.record):
            continue
        use = found.use if found.use.staged or found.use.published else None
        if use != known.use:
            known.use = use
            outcome.used.append(known.record)


def _take_in_volume(ledger: Ledger, drive: Drive, found: HeldVolume, outcome: Outcome) -> int:
    """Take in one volume that is on the drive; return the bytes to count as a stray."""
    record = found.record
    known = ledger.volumes.get(record.name)
    if known is None:
        if found.contested or found.stray_of or ledger.was_elsewhere(replace(record, fsuuid=drive.fsuuid)):
            return _nobodys(drive, found, outcome)
        _unknown(ledger, drive, found, outcome)
        return 0
    if known.record.fsuuid != drive.fsuuid:
        if found.stray_of != known.record.fsuuid and _is_beside(ledger, drive, known):
            outcome.prepare.append(known.record)  # so that the node knows which one is the volume
        return _stray(drive, known, record, outcome)
    if found.contested or found.stray_of:
        outcome.prepare.append(known.record)
    if not is_same(known.record, record):
        return _earlier(ledger, drive, known, record, outcome)
    use, before = (found.use if found.use.staged or found.use.published else None), known.use
    known.use, known.seen = use, record.capacity
    if use != before:
        outcome.used.append(known.record)
    if record.name in ledger.busy:
        outcome.unsettled = True
    elif known.record.deleting:
        outcome.remove.append(known.record)
    else:
        _compare(ledger, drive, known, record, outcome)
    return 0


def _nobodys(drive: Drive, found: HeldVolume, outcome: Outcome) -> int:
    """Neither registry nor node know which of several drives has the volume: whichever came first would be chance."""
    record = found.record
    outcome.tell("volume", "conflict", record.name, drive=drive.fsuuid, registered="", capacity=record.capacity)
    return record.capacity


def _is_beside(ledger: Ledger, drive: Drive, known: Volume) -> bool:
    """Tell whether the registry has the volume on another drive of the same node."""
    home = ledger.drives.get(known.record.fsuuid)
    return home is not None and home.known and home.record.node == drive.record.node


def _unknown(ledger: Ledger, drive: Drive, found: HeldVolume, outcome: Outcome) -> None:
    """Take in a volume that the registry does not have: it was lost there, or it was deleted."""
    record = replace(found.record, fsuuid=drive.record.fsuuid)
    if ledger.is_buried(record):
        outcome.remove.append(record)
    elif is_volume_name(record.name):
        outcome.changes.append(ledger.adopt(drive, record))
        volume = ledger.volumes[record.name]
        volume.use, volume.seen = found.use, record.capacity
        outcome.tell("volume", "adopted", record.name, drive=drive.fsuuid, capacity=record.capacity)
        if record.deleting:
            outcome.remove.append(record)


def _stray(drive: Drive, known: Volume, record: VolumeRecord, outcome: Outcome) -> int:
    """The registry has the volume on another drive; both copies are left alone, for people to decide."""
    home = known.record.fsuuid
    outcome.tell("volume", "conflict", record.name, drive=drive.fsuuid, registered=home, capacity=record.capacity)
    return record.capacity


def _earlier(ledger: Ledger, drive: Drive, known: Volume, record: VolumeRecord, outcome: Outcome) -> int:
    """The drive has another volume of this name, from before this one or after it; it goes if we removed it."""
    record = replace(record, fsuuid=drive.fsuuid)
    known.use, known.seen = None, 0
    if ledger.may_destroy(record):
        outcome.remove.append(record)
        outcome.unsettled = True
        return 0
    return _stray(drive, known, record, outcome)


def _compare(ledger: Ledger, drive: Drive, known: Volume, record: VolumeRecord, outcome: Outcome) -> None:
    """Take over what only the node knows, and bring the sizes together: the larger one was promised to somebody."""
    if pod_of(record) != pod_of(known.record):
        outcome.pods.append(record)
    if record.incarnation and not known.record.incarnation:
        outcome.changes.append(ledger.identify(known, record.incarnation))
    name, more = record.name, record.capacity - known.record.capacity
    if 0 < more <= drive.free:
        outcome.changes.append(ledger.resize(known, record.capacity))
        outcome.tell("volume", "raised", name, drive=drive.fsuuid, capacity=record.capacity)
    elif more > 0:
        outcome.tell("volume", "oversized", name, drive=drive.fsuuid, capacity=record.capacity, free=drive.free)
    elif more < 0 or _told(record) != _told(known.record):
        outcome.prepare.append(known.record)


def _told(record: VolumeRecord) -> tuple[object, ...]:
    """Return what the drive's record has from the registry, beside the size."""
    return record.labels, record.claim_id, record.incarnation


def _take_in_pods(ledger: Ledger, outcome: Outcome, read_pods: bool) -> None:
    """Take over which pods use volumes; those whose labels are to be read first stay in the outcome."""
    news, outcome.pods = outcome.pods, []
    for seen in news:
        if read_pods and seen.pod_name:
            outcome.pods.append(seen)
        else:
            outcome.changes.append(ledger.note_pod(ledger.volumes[seen.name], seen))


def _missing(ledger: Ledger, known: Volume, outcome: Outcome) -> None:
    """The registry has the volume on this drive, and the drive, which can be read, does not."""
    if known.record.name in ledger.busy:
        outcome.unsettled = True
        return
    if known.record.deleting:
        outcome.remove.append(known.record)
        return
    if known.seen:
        outcome.tell("volume", "missing", known.record.name, drive=known.record.fsuuid)
        outcome.used.append(known.record)
    known.use, known.seen = None, 0
    outcome.prepare.append(known.record)
