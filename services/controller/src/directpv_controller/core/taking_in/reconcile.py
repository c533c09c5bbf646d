"""What one drive's inventory means for the ledger, and what the node must be told.

The drive is the truth about itself: what it carries is taken in, even if the registry does not know it. The registry
is the truth about what was promised: what the drive lacks is ordered. Nothing is concluded from absence on a drive
that cannot be read, and nothing is destroyed except volumes whose deletion was acknowledged.
"""

from typing import Final, NamedTuple

import msgspec

from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveHealth,
    DriveRecord,
    DriveStatus,
    HeldDrive,
)
from directpv_common.protocol.reasons import Reason, advice_for
from directpv_controller.core.placing.model import UNKNOWN, Change, Drive, merged
from directpv_controller.core.reserving import labels
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.reserving.retiring import GIVEN_UP, is_not_taken_in
from directpv_controller.core.taking_in import prediction
from directpv_controller.core.taking_in.copies import take_in_copies
from directpv_controller.core.taking_in.outcome import Outcome
from directpv_controller.core.taking_in.parts import Pages
from directpv_controller.core.taking_in.reconcile_volumes import missing, take_in_pods, take_in_uses, take_in_volume

replace = msgspec.structs.replace

NOT_REPORTED: Final = "its node finds no device with its file system"


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
    if is_not_taken_in(ledger, held.record.fsuuid):
        return outcome
    if drive is not None and drive.known and drive.record.node != node:
        if held.record.status is not DriveStatus.LOST:  # else its disk was moved, and this node remembers it
            outcome.tell("drive", "conflict", drive.fsuuid, node=node, registered=drive.record.node)
        return outcome
    pages = pages or Pages()
    first = pages.generation == UNKNOWN
    pages.begin(held)
    if drive is not None and drive.boot == boot and held.generation < drive.generation:
        return outcome
    over = drive is not None and drive.overcommitted
    seen = _seen(held.record, node)
    policy = _Policy(cordon_predicted, same_run=drive is not None and (drive.boot == boot or not first))
    new = drive is None or not drive.known
    drive = _take_in_record(ledger, seen, policy, outcome, readable=held.readable)
    drive.missed = 0
    if held.readable:
        _take_in_volumes(ledger, drive, held, pages, outcome)
    else:
        take_in_uses(ledger, drive, held, outcome)
        ledger.set_contested(drive, {})
    take_in_pods(ledger, outcome, read_pods)
    ledger.set_partial(drive, bool(held.more) and (new or drive.partial))
    if not held.more:  # before the last part it is as if nothing had been told: who is cut short asks again
        drive.boot, drive.generation, drive.stale = boot, pages.generation, False
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


def lost(ledger: Ledger, drive: Drive, now: str) -> Outcome:
    """Note that the node of ``drive`` is online and does not report it any more.

    Args:
        ledger: The ledger.
        drive: A drive of it.
        now: RFC 3339.
    """
    outcome = Outcome()
    cause = Condition(type=ConditionType.LOST, message=NOT_REPORTED, since=now)
    last = labels.last_device(drive.record, "")
    record = replace(drive.record, status=DriveStatus.LOST, device="", last_device=last, conditions=(cause,))
    outcome.changes.append(ledger.set_drive(drive, record))
    ledger.set_contested(drive, {})
    outcome.tell(
        "drive",
        "lost",
        drive.fsuuid,
        node=drive.record.node,
        cause=NOT_REPORTED,
        reason=Reason.DRIVE_LOST.value,
        advice=advice_for(Reason.DRIVE_LOST, drive.fsuuid),
    )
    return outcome


def _seen(record: DriveRecord, node: str) -> DriveRecord:
    """Return what a node says of a drive. That one is given up, the registry decides: else it is out of order."""
    seen = replace(record, node=node, last_device="", removal="", removed="", retired="")
    if seen.status is not DriveStatus.REMOVED:
        return seen
    cause = Condition(type=ConditionType.MOUNT_ERROR, message=GIVEN_UP, since=record.created)
    return replace(seen, status=DriveStatus.ERROR, conditions=(cause,))


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


def _take_in_record(ledger: Ledger, seen: DriveRecord, policy: _Policy, outcome: Outcome, *, readable: bool) -> Drive:
    drive = ledger.drives.get(seen.fsuuid)
    if drive is None or not drive.known:
        record = policy.applied(None, replace(seen, unread=not readable), outcome)
        outcome.changes.append(ledger.register(record))
        outcome.tell("drive", "registered", seen.fsuuid, node=seen.node, device=seen.device, total=seen.total)
        if not labels.decided_alike(record, seen):
            outcome.update.append(record)
        return ledger.drives[seen.fsuuid]
    before = drive.record
    now = replace(labels.observed(before, seen), unread=before.unread and not readable)
    after = policy.applied(before, now, outcome)
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
        pages.strays += take_in_volume(ledger, drive, found, outcome)
    pages.contested |= outcome.contested()
    outcome.unsettled |= bool(held.purging)
    if not pages.is_whole(held):
        return
    ledger.set_strays(drive, pages.strays + take_in_copies(ledger, drive, held, outcome))
    ledger.set_contested(drive, pages.contested | outcome.contested())
    if len(present) < len(drive.volumes) or not drive.volumes.keys() <= present:
        for name in drive.volumes.keys() - present:
            missing(ledger, drive.volumes[name], outcome)
