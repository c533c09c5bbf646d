"""Decisions about a volume's move to another drive of its node: space on both, one commit that flips it, and the end.

    begin ─▶ COPYING ──flip──▶ FLIPPED ──settle──▶ (none)
                └──cancel──▶ CANCELLED ──settle──▶ (none)

Until it is settled both drives have the volume's size reserved: what is still occupied must not be promised.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from directpv_common.protocol.errors import Conflict, FailedPrecondition, NoCapacity
from directpv_common.protocol.messages import DriveStatus, MovePhase, MoveVolume, Moving, VolumeRecord
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.closed import closed
from directpv_controller.core.placing.model import Change, Drive, Node, Volume, Writes, is_suspended
from directpv_controller.core.placing.placement import meets
from directpv_controller.core.placing.wanted import need_from
from directpv_controller.core.reserving.ledger import Ledger

replace = msgspec.structs.replace

NAMED: Final = 5
"""Drives that a refusal names."""


def begin(ledger: Ledger, request: MoveVolume, move: str, waits_for: str = "") -> tuple[Volume, Change | None]:
    """Reserve space on another drive of the volume's node; a repeat changes the limit at most.

    Args:
        ledger: The ledger.
        request: What is asked.
        move: Id of the move, if there will be a new one.
        waits_for: What keeps a move that there is from ending, in words.

    Raises:
        NotFound: No such volume, or no such drive.
        Conflict: It is being moved to another drive, or a former move is being undone.
        FailedPrecondition: Source or target cannot be used; says what to do.
        NoCapacity: No drive has room for it.
        Busy: The volume is being changed.
    """
    ledger.require_idle(request.name)
    volume = ledger.volume(request.name)
    record = volume.record
    if record.moving is not None:
        return volume, _again(ledger, volume, record.moving, request, waits_for)
    source = ledger.drives[record.fsuuid]
    _check_source(source)
    target = ledger.drive(request.target) if request.target else _chosen(ledger, source, volume)
    _check_target(source, target, record)
    size = record.capacity
    moving = Moving(drive=target.fsuuid, id=move, limit=request.limit)
    ledger.host(target, record.name, size)
    return volume, _amended(ledger, volume, lambda: ledger.host(target, record.name, 0), moving=moving)


def check_still(drive: Drive) -> None:
    """Refuse to work on a drive that is well while volumes are copied to it or from it: that ends by itself.

    Raises:
        FailedPrecondition: Names some of them, and says what to do first.
    """
    if drive.record.status is not DriveStatus.READY:  # nothing is copied there until it is
        return
    leave = [name for name, volume in drive.volumes.items() if volume.record.moving is not None]
    if names := sorted({*leave, *drive.guests}):
        raise FailedPrecondition(
            f"drive {drive.fsuuid} ({drive.record.device}) on node {drive.record.node}: {', '.join(names[:NAMED])} is "
            "being moved to it or from it; wait until that has ended (kubectl directpv move), or cancel it (kubectl "
            f"directpv move --cancel {names[0]}), then repeat"
        )


def _again(ledger: Ledger, volume: Volume, moving: Moving, request: MoveVolume, waits_for: str) -> Change | None:
    if moving.phase is MovePhase.CANCELLED:
        raise Conflict(f"the former move of {request.name} is being undone; repeat when that has ended")
    target = volume.record.fsuuid if moving.phase is MovePhase.FLIPPED else moving.drive
    if request.target not in ("", target) and moving.phase is MovePhase.FLIPPED:
        raise Conflict(is_ending(volume, moving, waits_for))
    if request.target not in ("", target):
        raise Conflict(
            f"volume {request.name} is being moved to drive {target}; cancel that first: "
            f"kubectl directpv move --cancel {request.name}"
        )
    if request.limit == moving.limit:
        return None
    return _amended(ledger, volume, lambda: None, moving=replace(moving, limit=request.limit))


def _check_source(source: Drive) -> None:
    record = source.record
    if is_suspended(record):
        raise FailedPrecondition(
            f"drive {record.fsuuid} is suspended: its volumes show nothing; run: kubectl directpv resume drives "
            f"{record.fsuuid}"
        )
    if not source.known or record.status is not DriveStatus.READY:
        raise FailedPrecondition(
            f"drive {record.fsuuid} is {record.status.value}, so that its data cannot be read; see what is wrong: "
            f"kubectl directpv explain drive {record.fsuuid}"
        )
    if source.offline:
        raise FailedPrecondition(f"node {record.node} is offline; start its agent, then repeat")


def _check_target(source: Drive, target: Drive, record: VolumeRecord) -> None:
    fsuuid = target.fsuuid
    if target is source:
        raise FailedPrecondition(f"volume {record.name} is on drive {fsuuid} already")
    if target.record.node != source.record.node:
        raise FailedPrecondition(
            f"drive {fsuuid} is on node {target.record.node}, and the volume on {source.record.node}: a volume moves "
            "to drives of its own node only"
        )
    for each in closed(target):
        raise FailedPrecondition(
            f"drive {fsuuid} takes no volumes: {each.why.format(drive=target)}; {each.change.format(drive=target)}"
        )
    if record.claim_id and record.claim_id in target.claims:
        raise FailedPrecondition(f"drive {fsuuid} has a volume of claim id {record.claim_id} already")
    if record.capacity > target.free:
        raise NoCapacity(
            f"volume {record.name} has {format_bytes(record.capacity)}, and drive {fsuuid} has "
            f"{format_bytes(target.free)} free"
        )


def _why_none(node: Node, source: Drive) -> str:
    """Return what keeps the other drives of a node from taking a volume of ``source``."""
    others = sorted((each for each in node.drives.values() if each is not source), key=lambda each: each.fsuuid)
    if not others:
        return "it has no other drive"
    whys = []
    for drive in others[:NAMED]:
        shut = next((each.why.format(drive=drive) for each in closed(drive)), "it does not suit the volume's class")
        whys.append(f"{drive.record.device or drive.fsuuid}: {shut}")
    more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return "; ".join(whys) + more


def _chosen(ledger: Ledger, source: Drive, volume: Volume) -> Drive:
    """Return the drive of the node that suits the volume's class and has most space.

    Raises:
        NoCapacity: There is none.
    """
    record, node = volume.record, ledger.nodes[source.record.node]
    need = need_from(record.parameters)
    suits = [each for each in node.drives.values() if each is not source and each.open and meets(each, need)]
    fits = [each for each in suits if each.free >= record.capacity and not _has_claim(each, record)]
    if not suits:
        raise NoCapacity(
            f"no other drive of node {source.record.node} can take volume {record.name}: {_why_none(node, source)}"
        )
    if not fits:
        most = max((each.free for each in suits), default=0)
        raise NoCapacity(
            f"no other drive of node {source.record.node} takes volume {record.name}: {len(suits)} suit its class and "
            f"are open, and the largest has {format_bytes(most)} free of the {format_bytes(record.capacity)} needed"
        )
    return max(fits, key=lambda each: (each.free, each.fsuuid))


def _has_claim(drive: Drive, record: VolumeRecord) -> bool:
    return bool(record.claim_id) and record.claim_id in drive.claims


def is_ending(volume: Volume, moving: Moving, waits_for: str) -> str:
    """Return what is left to be done about a move that cannot be cancelled any more, and what that waits for."""
    name, because = volume.record.name, f" ({waits_for})" if waits_for else ""
    if moving.phase is MovePhase.FLIPPED:
        return (
            f"volume {name} was moved to drive {volume.record.fsuuid}, and what it was on drive {moving.drive} is not "
            f"removed yet{because}; that goes on by itself: repeat when kubectl directpv move does not list it any more"
        )
    return (
        f"the move of volume {name} to drive {moving.drive} is being taken back{because}; repeat when kubectl directpv "
        "move does not list it any more"
    )


def cancel(ledger: Ledger, name: str, waits_for: str = "") -> tuple[Volume, Change | None]:
    """Decide that a volume stays where it is; its copy is to be removed.

    Raises:
        NotFound: No such volume.
        FailedPrecondition: It is on its new drive already.
        Busy: The volume is being changed.
    """
    ledger.require_idle(name)
    volume = ledger.volume(name)
    return volume, cancelled(ledger, volume, waits_for)


def cancelled(ledger: Ledger, volume: Volume, waits_for: str = "") -> Change | None:
    """Return what takes a move back; None: there is none, or it is taken back already. Raises as :func:`cancel`."""
    moving = volume.record.moving
    if moving is None or moving.phase is MovePhase.CANCELLED:
        return None
    if moving.phase is not MovePhase.COPYING:
        raise FailedPrecondition(f"{is_ending(volume, moving, waits_for)}, and move it again to have it elsewhere")
    return _amended(ledger, volume, lambda: None, moving=replace(moving, phase=MovePhase.CANCELLED))


def flip(ledger: Ledger, volume: Volume) -> Change:
    """Decide that the volume is on the drive that has its copy. All of it must be there, compared, and on disk."""
    before = volume.record
    moving = before.moving
    if moving is None or moving.phase is not MovePhase.COPYING:
        raise Conflict(f"volume {before.name} is not being copied")
    target = ledger.drives[moving.drive]
    origins = tuple(each for each in dict.fromkeys((*before.origins, before.fsuuid)) if each != target.fsuuid)
    after = replace(
        before,
        fsuuid=target.record.fsuuid,
        moving=replace(moving, drive=before.fsuuid, phase=MovePhase.FLIPPED),
        origins=origins,
    )
    _change_places(ledger, volume, after)

    def undo() -> None:
        back = {name: getattr(before, name) for name in ("fsuuid", "moving", "origins")}
        _change_places(ledger, volume, replace(volume.record, **back))

    return ledger.change(Writes(volumes=(after,)), undo, before.name)


def _change_places(ledger: Ledger, volume: Volume, record: VolumeRecord) -> None:
    """Put the volume on the drive of ``record``, and its reservation on the one that it leaves."""
    left, entered = ledger.drives[volume.record.fsuuid], ledger.drives[record.fsuuid]
    ledger.host(entered, record.name, 0)
    ledger.drop(volume)
    volume.record, volume.seen = record, 0
    ledger.add(entered, volume)
    ledger.host(left, record.name, record.capacity)


def relocate(ledger: Ledger, volume: Volume, drive: Drive, origins: tuple[str, ...]) -> Change:
    """Take in that a volume is on another drive than the registry says: a move had ended that it does not remember."""
    before, name = volume.record, volume.record.name
    moving = before.moving
    other = ledger.drives.get(moving.drive) if moving is not None else None
    size = other.guests.get(name, 0) if other is not None else 0

    def put(target: Drive, record: VolumeRecord, guest: int) -> None:
        if other is not None:
            ledger.host(other, name, guest)
        ledger.drop(volume)
        volume.record, volume.seen = record, 0
        ledger.add(target, volume)
        ledger.note_move(record)

    home = ledger.drives[before.fsuuid]
    put(drive, replace(before, fsuuid=drive.fsuuid, moving=None, origins=origins), 0)

    def undo() -> None:
        back = {field: getattr(before, field) for field in ("fsuuid", "moving", "origins")}
        put(home, replace(volume.record, **back), size)

    return ledger.change(Writes(volumes=(volume.record,)), undo, name)


def settle(ledger: Ledger, volume: Volume) -> Change:
    """Decide that a move has ended, for nothing of the volume is left on the other drive."""
    moving = volume.record.moving
    other = ledger.drives.get(moving.drive) if moving is not None else None
    size = other.guests.get(volume.record.name, 0) if other is not None else 0
    if other is not None:
        ledger.host(other, volume.record.name, 0)

    def back() -> None:
        if other is not None:
            ledger.host(other, volume.record.name, size)

    return _amended(ledger, volume, back, moving=None)


def _amended(ledger: Ledger, volume: Volume, back: Callable[[], None], **fields: Any) -> Change:
    before = volume.record
    ledger.amend(volume, replace(before, **fields))
    ledger.note_move(volume.record)

    def undo() -> None:
        back()
        ledger.amend(volume, replace(volume.record, **{name: getattr(before, name) for name in fields}))
        ledger.note_move(volume.record)

    return ledger.change(Writes(volumes=(volume.record,)), undo, before.name)
