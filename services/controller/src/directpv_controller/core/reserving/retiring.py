"""Drives that are given up: whether one may be, and what is written when.

The intent comes first, as status Removed on the drive's record: it takes no volumes from then on, and whoever leads
goes on from there. Then its node lets go of it; then the record goes. Where the disk itself could not be told, the
registry remembers that the drive was retired, should it ever be seen again.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from directpv_common.protocol.errors import FailedPrecondition, Unavailable
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveRecord,
    DriveStatus,
    RetiredDrive,
    VolumeRecord,
    Wipe,
)
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.model import UNKNOWN, Change, Drive, Writes
from directpv_controller.core.reserving.ledger import Ledger

replace = msgspec.structs.replace

NAMED: Final = 5
"""Volumes that a refusal names."""
GIVEN_UP: Final = "its node is giving it up, as somebody else ordered"
_AT_WORK: Final = frozenset({DriveStatus.REPAIRING, DriveStatus.MOVING})


def check_removable(drive: Drive) -> None:
    """Refuse to give up a drive that has volumes, or may have some.

    Raises:
        FailedPrecondition: Says how many volumes of how many claims, names some, and what to do first.
        Unavailable: It is not known yet what is on it.
    """
    record = drive.record
    if drive.volumes:
        said = _said([volume.record for volume in drive.volumes.values()])
        raise FailedPrecondition(f"{title(record)} has {said}. {_FIRST}")
    if drive.guests:
        raise FailedPrecondition(
            f"{title(record)}: {', '.join(sorted(drive.guests)[:NAMED])} is being moved to it or from it; wait until "
            "that has ended (kubectl directpv move), or cancel it, then repeat"
        )
    if drive.strays:
        raise FailedPrecondition(
            f"{title(record)} carries {format_bytes(drive.strays)} of volumes of which the registry knows another "
            "copy, or cannot read the record; `kubectl directpv events --drive` names them: remove the copies first"
        )
    if record.unread:
        raise FailedPrecondition(
            f"{title(record)} could never be read, so that nobody knows which volumes are on it; repair it"
        )
    if record.status in _AT_WORK:
        raise FailedPrecondition(f"{title(record)} is {record.status}; wait until that has ended")
    if drive.pending or drive.partial:
        raise Unavailable(f"{title(record)} is just being registered; repeat in a moment")


_FIRST: Final = (
    "Delete their claims, or move their data (let the application heal it elsewhere), wait until the volumes are gone, "
    "then repeat"
)


def _said(volumes: Collection[VolumeRecord]) -> str:
    """Return how many volumes and claims there are, and some of them by name."""
    ordered = sorted(volumes, key=lambda volume: volume.name)
    claims = {(v.pvc_namespace, v.pvc_name) for v in ordered if v.pvc_name}
    named = ", ".join(_named(volume) for volume in ordered[:NAMED])
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    count = f"{len(ordered)} volume{'s' * (len(ordered) != 1)}"
    owners = f" of {len(claims)} claim{'s' * (len(claims) != 1)}" if claims else ""
    return f"{count}{owners}: {named}{more}"


def _named(volume: VolumeRecord) -> str:
    claim = f"{volume.pvc_namespace}/{volume.pvc_name}" if volume.pvc_name else ""
    words = [claim, *(["being deleted"] if volume.deleting else [])]
    about = ", ".join(word for word in words if word)
    return f"{volume.name} ({about})" if about else volume.name


def title(record: DriveRecord) -> str:
    """Return what people call a drive."""
    return f"drive {record.fsuuid} ({record.device or 'no device'}) on node {record.node}"


def is_given_up(drive: Drive) -> bool:
    """Tell whether it is recorded that the drive shall go."""
    return drive.known and drive.record.status is DriveStatus.REMOVED


def give_up(ledger: Ledger, drive: Drive, wipe: Wipe) -> Change | None:
    """Record that the drive shall go; None: that is recorded already."""
    if is_given_up(drive) and drive.record.removal == wipe:
        return None
    record = replace(drive.record, status=DriveStatus.REMOVED, removal=wipe.value, conditions=())
    return ledger.set_drive(drive, record)


def keep(ledger: Ledger, drive: Drive, why: str, now: str) -> Change:
    """Take that back; how the drive is, its node tells when it is asked next, which is soon."""
    cause = Condition(type=ConditionType.MOUNT_ERROR, message=f"it is kept: {why}"[:1024], since=now)
    drive.generation = UNKNOWN
    record = replace(drive.record, status=DriveStatus.ERROR, removal="", conditions=(cause,))
    return ledger.set_drive(drive, record)


def close(ledger: Ledger, drive: Drive, *, noted: bool, now: str) -> Change:
    """Forget a drive without volumes that is given up.

    Args:
        ledger: The ledger.
        drive: A drive of it.
        noted: Whether the disk itself says so, or nothing is left on it; if not, it is remembered here.
        now: RFC 3339.
    """
    record = drive.record
    retired = RetiredDrive(fsuuid=record.fsuuid, node=record.node, since=now)
    ledger.leave(drive)
    ledger.note_past(retired)
    if noted:
        ledger.leaving[record.fsuuid] = 0
    else:
        ledger.retired[record.fsuuid] = retired

    def undo() -> None:
        ledger.retired.pop(record.fsuuid, None)
        ledger.leaving.pop(record.fsuuid, None)
        ledger.past.pop(record.fsuuid, None)
        ledger.index.changed(ledger.enter(record))

    writes = Writes(gone=(record,), retired=() if noted else (retired,))
    return ledger.change(writes, undo)


def settle(ledger: Ledger, retired: RetiredDrive) -> Change:
    """Forget that a drive was retired: the disk itself knows it now."""
    ledger.retired.pop(retired.fsuuid, None)
    ledger.leaving[retired.fsuuid] = 0

    def undo() -> None:
        ledger.leaving.pop(retired.fsuuid, None)
        ledger.retired[retired.fsuuid] = retired

    return ledger.change(Writes(settled=(retired,)), undo)


def is_not_taken_in(ledger: Ledger, fsuuid: str) -> bool:
    """Tell whether what a node says of a drive counts for nothing: it was given up, and the node may not know yet."""
    return fsuuid not in ledger.drives and (fsuuid in ledger.retired or fsuuid in ledger.leaving)
