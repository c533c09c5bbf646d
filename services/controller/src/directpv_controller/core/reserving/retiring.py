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
    GivenUpNode,
    LostVolume,
    RetiredDrive,
    VolumeRecord,
    Wipe,
)
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.model import UNKNOWN, Change, Drive, Volume, Writes, merged
from directpv_controller.core.reserving import moving
from directpv_controller.core.reserving.ledger import Ledger

replace = msgspec.structs.replace

LOST: Final = "lost"
"""What is recorded as the way of giving up a drive that goes with its volumes."""
TOLD: Final = 200
"""Volumes that are told of one lost drive."""
DELETING: Final = 1000
"""Volumes of one lost drive whose deletion is remembered: all lost drives of a cluster are one object."""
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
            f"{title(record)} carries {format_bytes(drive.strays)} of volumes and copies of which the registry knows "
            "another one, or nothing, or cannot read the record; `kubectl directpv explain drive` names them: remove "
            "the copies first"
        )
    if record.unread:
        raise FailedPrecondition(
            f"{title(record)} could never be read, so that nobody knows which volumes are on it; repair it"
        )
    if record.status in _AT_WORK:
        raise FailedPrecondition(f"{title(record)} is {record.status}; wait until that has ended")
    if drive.pending or drive.partial:
        raise Unavailable(f"{title(record)} is just being registered; repeat in a moment")


def check_lost(drive: Drive) -> None:
    """Refuse to declare a drive lost that is there.

    Raises:
        FailedPrecondition: Says how it is, and what to do instead.
        Unavailable: It is not known yet what is on it.
    """
    record = drive.record
    if is_lost_for_good(drive):
        return
    if record.status not in (DriveStatus.LOST, DriveStatus.ERROR):
        raise FailedPrecondition(
            f"{title(record)} is {record.status}, and is not given up with its volumes. If it is dead, pull it first; "
            f"if its node is gone for good, run: kubectl directpv remove node {record.node} --dangerous"
        )
    if drive.pending or drive.partial:
        raise Unavailable(f"{title(record)} is just being registered; repeat in a moment")


def told(drive: Drive) -> tuple[LostVolume, ...]:
    """Return what is on a drive, for people; not all if there is much."""
    return tuple(
        LostVolume(
            name=record.name,
            capacity=record.capacity,
            pvc_name=record.pvc_name,
            pvc_namespace=record.pvc_namespace,
            pod_name=record.pod_name,
            pod_namespace=record.pod_namespace,
        )
        for record in (drive.volumes[name].record for name in sorted(drive.volumes)[:TOLD])
    )


def farewell(drive: DriveRecord, volume: VolumeRecord) -> dict[str, str]:
    """Return what is told of a volume that was given up with its drive; its claim's owner reads the advice."""
    pod = f"{volume.pod_namespace}/{volume.pod_name}" if volume.pod_name else ""
    return {
        "node": drive.node,
        "drive": drive.fsuuid,
        "claim": f"{volume.pvc_namespace}/{volume.pvc_name}" if volume.pvc_name else "",
        "pod": pod,
        "cause": f"drive {drive.fsuuid} of node {drive.node}, where its data was, was given up as lost",
        "advice": f"delete the claim and its pod{f' {pod}' if pod else ''}: a StatefulSet makes both anew, elsewhere",
    }


_FIRST: Final = (
    "Move them to other drives of the node (kubectl directpv evacuate), or delete them with their claims; wait until "
    "they are gone, then repeat"
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


def give_up(ledger: Ledger, drive: Drive, wipe: Wipe, now: str) -> Change | None:
    """Record that the drive shall go; None: that is recorded already."""
    if is_given_up(drive) and drive.record.removal == wipe:
        return None
    since = drive.record.removed if is_given_up(drive) else now
    record = replace(drive.record, status=DriveStatus.REMOVED, removal=wipe.value, removed=since or now, conditions=())
    return ledger.set_drive(drive, record)


def is_lost_for_good(drive: Drive) -> bool:
    """Tell whether it is recorded that the drive goes with its volumes."""
    return is_given_up(drive) and drive.record.removal == LOST


def give_up_lost(ledger: Ledger, drive: Drive, now: str) -> Change | None:
    """Record that a drive shall go with its volumes; None: that is recorded already, or there is no record of it."""
    if is_lost_for_good(drive) or not drive.known:
        return None
    record = replace(drive.record, status=DriveStatus.REMOVED, removal=LOST, removed=now, conditions=())
    return ledger.set_drive(drive, record)


def close_lost(ledger: Ledger, drive: Drive, now: str) -> Change:
    """Forget a drive and all of its volumes, and remember that it was retired.

    Raises:
        Busy: A volume of it is being changed.
    """
    names = sorted(drive.volumes)
    for name in (*names, *drive.guests):
        ledger.require_idle(name)
    ended = [moving.settle(ledger, ledger.volumes[name]) for name in sorted(drive.guests) if name in ledger.volumes]
    retired = RetiredDrive(
        fsuuid=drive.fsuuid,
        node=drive.record.node,
        device=drive.record.device or drive.record.last_device,
        since=drive.record.removed or now,
        deleting=_still_to_be_deleted(drive),
    )
    removals = [change for name in names for change in _removed(ledger, drive.volumes[name])]
    record, known = drive.record, drive.known
    ledger.leave(drive)
    ledger.note_past(retired)
    ledger.retired[record.fsuuid] = retired

    def undo() -> None:
        del ledger.retired[record.fsuuid]
        ledger.past.pop(record.fsuuid, None)
        ledger.enter_again(drive)
        ledger.index.changed(drive)

    gone = Change(Writes(gone=(record,) if known else (), retired=(retired,)), undo, busy=ledger.busy)
    closed = merged([*ended, *removals, gone], ledger.busy)
    assert closed is not None
    return closed


def _still_to_be_deleted(drive: Drive) -> tuple[VolumeRecord, ...]:
    """Return the volumes that were deleted and are there still, with what is needed to tell them from others."""
    marked = [drive.volumes[name].record for name in sorted(drive.volumes) if drive.volumes[name].record.deleting]
    return tuple(
        VolumeRecord(
            name=record.name,
            fsuuid=record.fsuuid,
            capacity=record.capacity,
            incarnation=record.incarnation,
            created=record.created,
            deleting=True,
        )
        for record in marked[:DELETING]
    )


def give_up_unknown(ledger: Ledger, fsuuid: str, now: str) -> Change:
    """Remember that a drive is retired of which the registry knows only that volumes are sealed for it."""
    retired = RetiredDrive(fsuuid=fsuuid, node=ledger.sought[fsuuid][0], since=now)
    ledger.note_past(retired)
    ledger.retired[fsuuid] = retired

    def undo() -> None:
        ledger.retired.pop(fsuuid, None)
        ledger.past.pop(fsuuid, None)

    return ledger.change(Writes(retired=(retired,)), undo)


def _removed(ledger: Ledger, volume: Volume) -> list[Change]:
    """Forget a volume; if it is being moved, its place on the other drive is free again."""
    record = volume.record
    other = ledger.drives.get(record.moving.drive) if record.moving is not None else None
    size = other.guests.get(record.name, 0) if other is not None else 0
    volume.record = replace(record, moving=None)
    ledger.note_move(volume.record)
    if other is not None:
        ledger.host(other, record.name, 0)

    def back() -> None:
        volume.record = record
        ledger.note_move(record)
        if other is not None:
            ledger.host(other, record.name, size)

    return [Change(Writes(), back, busy=ledger.busy), ledger.remove(volume)]


def keep(ledger: Ledger, drive: Drive, why: str, now: str) -> Change:
    """Take that back; how the drive is, its node tells when it is asked next, which is soon."""
    cause = Condition(type=ConditionType.MOUNT_ERROR, message=f"it is kept: {why}"[:1024], since=now)
    drive.generation = UNKNOWN
    record = replace(drive.record, status=DriveStatus.ERROR, removal="", removed="", conditions=(cause,))
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
    device = record.device or record.last_device
    retired = RetiredDrive(fsuuid=record.fsuuid, node=record.node, device=device, since=record.removed or now)
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
        ledger.enter_again(drive)
        ledger.index.changed(drive)

    writes = Writes(gone=(record,), retired=() if noted else (retired,))
    return ledger.change(writes, undo)


def settle(ledger: Ledger, retired: RetiredDrive) -> Change | None:
    """Forget that a drive was retired: the disk itself knows it now. None: of its volumes it knows not all."""
    if retired.deleting:
        return None
    ledger.retired.pop(retired.fsuuid, None)
    ledger.note_past(retired)
    ledger.leaving[retired.fsuuid] = 0

    def undo() -> None:
        ledger.leaving.pop(retired.fsuuid, None)
        ledger.retired[retired.fsuuid] = retired

    return ledger.change(Writes(settled=(retired,)), undo)


def note_node(ledger: Ledger, node: GivenUpNode) -> Change:
    """Remember that a node was given up, or when it came back; without ``since``: forget it."""
    before = ledger.given_up.get(node.name)

    def put(found: GivenUpNode | None) -> None:
        if found is None or not found.since:
            ledger.given_up.pop(node.name, None)
        else:
            ledger.given_up[node.name] = found

    put(node)
    return ledger.change(Writes(nodes=(node,)), lambda: put(before))


def heard(ledger: Ledger, name: str, now: str) -> Change | None:
    """Take in that a node is heard which was given up before; None: it was not, or nothing is new about it.

    Once it has drives again it is a node as any other.
    """
    noted = ledger.given_up.get(name)
    if noted is None:
        return None
    node = ledger.nodes.get(name)
    if node is not None and any(drive.known and not drive.pending for drive in node.drives.values()):
        return note_node(ledger, GivenUpNode(name=name))
    return None if noted.back else note_node(ledger, replace(noted, back=now))


def is_not_taken_in(ledger: Ledger, fsuuid: str) -> bool:
    """Tell whether what a node says of a drive counts for nothing: it was given up, and the node may not know yet."""
    return fsuuid not in ledger.drives and (fsuuid in ledger.retired or fsuuid in ledger.leaving)
