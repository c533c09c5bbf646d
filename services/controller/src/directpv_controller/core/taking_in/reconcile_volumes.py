"""What a volume found on a drive, or missing there, means for the ledger.

Names authorise nothing: a volume is the same if its incarnation is, and what nobody removed is left alone.
"""

import msgspec

from directpv_common.protocol.messages import (
    DriveStatus,
    HeldDrive,
    HeldVolume,
    VolumeRecord,
    is_volume_name,
)
from directpv_controller.core.placing.model import UNKNOWN, Drive, Volume
from directpv_controller.core.reserving.ledger import Ledger, is_same
from directpv_controller.core.reserving.moving import relocate
from directpv_controller.core.reserving.unsettled import is_left_by_move
from directpv_controller.core.taking_in.outcome import Outcome, Sealed
from directpv_controller.core.taking_in.pods import pod_of

replace = msgspec.structs.replace


def take_in_uses(ledger: Ledger, drive: Drive, held: HeldDrive, outcome: Outcome) -> None:
    """Take in where volumes of a drive are mounted that cannot be read: its node knows that all the same."""
    for found in held.volumes:
        known = ledger.volumes.get(found.record.name)
        if known is None or known.record.fsuuid != drive.fsuuid or not is_same(known.record, found.record):
            continue
        use = found.use if found.use.staged or found.use.published else None
        if use != known.use:
            known.use = use
            outcome.used.append(known.record)


def take_in_volume(ledger: Ledger, drive: Drive, found: HeldVolume, outcome: Outcome) -> int:
    """Take in one volume that is on the drive; return the bytes to count as a stray."""
    record = found.record
    known = ledger.volumes.get(record.name)
    if known is None:
        if found.sealed and not _is_settled(ledger, drive, found):
            outcome.unsettled = True
            return _nobodys(drive, found, outcome)
        if found.sealed:
            _unknown(ledger, drive, found, outcome)
            _unseal(drive, replace(record, fsuuid=drive.fsuuid), found, outcome)
            return 0
        if found.contested or found.stray_of or ledger.was_elsewhere(replace(record, fsuuid=drive.fsuuid)):
            return _nobodys(drive, found, outcome)
        _unknown(ledger, drive, found, outcome)
        return 0
    if known.record.fsuuid != drive.fsuuid:
        if is_left_by_move(known.record, drive.fsuuid, record) and not _came_back(known, found):
            return 0
        if _was_left(drive, known, found):
            outcome.left.append(Sealed(known.record, found.sealed, drive.fsuuid))
            return record.capacity
        if not _was_moved_here(ledger, drive, known, found) or record.name in ledger.busy:
            outcome.unsettled |= record.name in ledger.busy
            if found.stray_of != known.record.fsuuid and _is_beside(ledger, drive, known):
                outcome.prepare.append(known.record)  # so that the node knows which one is the volume
            return _stray(drive, known, record, outcome)
        outcome.tell("volume", "relocated", record.name, drive=drive.fsuuid, registered=known.record.fsuuid)
        outcome.changes.append(relocate(ledger, known, drive, record.origins))
    if found.sealed and known.record.moving is None:
        if _may_be_elsewhere(ledger, drive, found):
            outcome.unsettled = True
        else:
            _unseal(drive, known.record, found, outcome)
    elif (found.contested or found.stray_of) and known.record.moving is None:
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
    elif known.record.moving is not None and record.capacity > known.record.capacity:
        outcome.unsettled = True  # its size is taken over when the move has ended
    else:
        _compare(ledger, drive, known, record, outcome)
    return 0


def _is_settled(ledger: Ledger, drive: Drive, found: HeldVolume) -> bool:
    """Tell whether a sealed volume of which the registry knows nothing is the volume: the registry was lost meanwhile.

    It is, if the drive to which it was copied was looked at, and has no volume of that name: nobody wrote to the copy.
    So is one whose seal was cut short, before anybody heard of it.
    """
    if not found.stray_of:
        return True
    other = ledger.drives.get(found.stray_of)
    if other is None or not other.known or other.record.node != drive.record.node:
        return False
    return _was_read(other)


def _unseal(drive: Drive, record: VolumeRecord, found: HeldVolume, outcome: Outcome) -> None:
    outcome.unseal.append(Sealed(record, found.sealed, found.stray_of or drive.fsuuid))


def _was_read(drive: Drive) -> bool:
    """Tell whether what the drive has was all taken in."""
    return drive.generation != UNKNOWN and not drive.partial and drive.record.status is DriveStatus.READY


def _may_be_elsewhere(ledger: Ledger, drive: Drive, found: HeldVolume) -> bool:
    """Tell whether a sealed volume may have become one on the drive to which it was copied: the registry may be older.

    Once that drive was read, the registry would have it there. A registry that is older than the drive itself knows
    nothing of it: then it may be all the same, unless it was given up.
    """
    other = ledger.drives.get(found.stray_of)
    if other is None and found.stray_of and not ledger.is_past(found.stray_of):
        ledger.seek(found.stray_of, drive.record.node, found.record.name)
        return True
    if other is None:
        return False
    return other.known and other.record.node == drive.record.node and not _was_read(other)


def _was_moved_here(ledger: Ledger, drive: Drive, known: Volume, found: HeldVolume) -> bool:
    """Tell whether the volume has left the drive where the registry has it, by a move that the registry forgot.

    It was restored from a backup. Only a commit of the registry puts a volume of one incarnation on a second drive, and
    before that it is sealed on the first: so the one that is not sealed, nor known as a copy, is the volume, if the
    first has none, or if it names the first as its origin, and the registry does not name it as one.
    """
    before, record, home = known.record, found.record, ledger.drives.get(known.record.fsuuid)
    if found.sealed or found.contested or found.stray_of or before.deleting:
        return False
    if not record.incarnation or record.incarnation != before.incarnation:
        return False
    if home is not None and home.known and home.record.node != drive.record.node:
        return False
    later = before.fsuuid in record.origins and drive.fsuuid not in before.origins
    return later or (home is not None and home.known and _was_read(home) and not known.seen)


def _came_back(known: Volume, found: HeldVolume) -> bool:
    """Tell whether what looks like left by a move is the volume: it says that it was on the drive that the move was to.

    What a move leaves is sealed, and from before it.
    """
    return not found.sealed and known.record.fsuuid in found.record.origins


def _was_left(drive: Drive, known: Volume, found: HeldVolume) -> bool:
    """Tell whether this is what a move has left here that has ended: sealed for it, and the volume has been here."""
    record = known.record
    went = found.stray_of in (record.fsuuid, *record.origins)
    settled = record.moving is None and went and bool(found.sealed)
    return settled and drive.fsuuid in record.origins and is_same(record, found.record)


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
    if pod_of(record) != pod_of(known.record) or (record.used and not known.record.used):
        outcome.pods.append(record)
    elif record.pod_name and known.record.pv is None and record.pv is None:
        outcome.unkept.append(record)
    if record.pv is not None and known.record.pv is None:
        outcome.changes.append(ledger.keep_pv(known, record))
    if record.incarnation and not known.record.incarnation:
        outcome.changes.append(ledger.identify(known, record.incarnation))
    name, more = record.name, record.capacity - known.record.capacity
    if 0 < more <= drive.free:
        outcome.changes.append(ledger.resize(known, record.capacity))
        outcome.tell("volume", "raised", name, drive=drive.fsuuid, capacity=record.capacity)
    elif more > 0:
        outcome.tell("volume", "oversized", name, drive=drive.fsuuid, capacity=record.capacity, free=drive.free)
    elif more < 0 or not kept_alike(record, known.record):
        outcome.prepare.append(known.record)


def kept_alike(one: VolumeRecord, other: VolumeRecord) -> bool:
    """Tell whether two records of a volume agree in what its drive keeps for the registry, beside the size."""
    return _told(one) == _told(other)


def _told(record: VolumeRecord) -> tuple[object, ...]:
    """Return what the drive's record has from the registry, beside the size."""
    kept = record.parameters, record.pv, record.pvc_name, record.pvc_namespace
    return record.labels, record.claim_id, record.incarnation, *kept


def take_in_pods(ledger: Ledger, outcome: Outcome, read_pods: bool) -> None:
    """Take over which pods use volumes; those whose labels are to be read first stay in the outcome."""
    news, outcome.pods = outcome.pods, []
    for seen in news:
        known = ledger.volumes[seen.name]
        if read_pods and seen.pod_name and pod_of(seen) != pod_of(known.record):
            outcome.pods.append(seen)
        else:
            outcome.changes.append(ledger.note_pod(known, seen))


def missing(ledger: Ledger, known: Volume, outcome: Outcome) -> None:
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
