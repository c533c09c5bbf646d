"""When a drive may be repaired, how xfs_repair is called, and what its exit status means. Decides, and does nothing.

Source: xfs_repair(8) of xfsprogs 4.15 and newer: exit status 0 nothing left to do, 1 runtime error (with -n: damage),
2 the log is dirty, 4 damage was repaired (with -e).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from directpv_common.protocol.errors import Busy, FailedPrecondition
from directpv_common.protocol.messages import ConditionType, DriveStatus, RepairDrive, RepairOutcome
from directpv_common.protocol.names import FS_TYPE
from directpv_common.protocol.units import TIB
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.drives.core.growth import check_fits
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.linux.core.mountinfo import MountTable

OUTPUT_BYTES: Final = 4096
"""So much of the end of what xfs_repair says is kept: it says a line per damaged inode."""
UNRECOGNISED: Final = (
    "is not recognised as a drive of this node any more. If its root directory was lost, all that was in it is in "
    "lost+found: mount the device by hand, move .directpv and the directories of volumes back to the root, unmount it "
    "and restart the agent"
)
_MOST_PATHS: Final = 5
_DIRTY_LOG: Final = 2
_REPAIRED: Final = 4
_GROUPS: Final = 64
_MAX_GROUP: Final = TIB
_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run of xfs_repair means."""

    outcome: RepairOutcome
    message: str


def arguments(request: RepairDrive, device: str, *, zero_log: bool = False) -> tuple[str, ...]:
    """Return the command line; ``-e`` tells a repair from a file system that was well."""
    flags = ["-v", "-n" if request.dry_run else "-e"]
    if zero_log:
        flags.append("-L")
    if request.disable_prefetch:
        flags.append("-P")
    return ("xfs_repair", *flags, "--", device)


def must_zero_log(request: RepairDrive, exit_status: int) -> bool:
    """Tell whether xfs_repair has to be called again to throw the log away: never before it refused otherwise."""
    return request.force and not request.dry_run and exit_status == _DIRTY_LOG


def same_work(one: RepairDrive, other: RepairDrive) -> bool:
    """Tell whether two requests ask for the same, so that the second can join the first."""
    fields = ("fsuuid", "force", "disable_prefetch", "dry_run")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def judge(request: RepairDrive, exit_status: int) -> Verdict:
    """Return what came of xfs_repair; a negative status is the signal that ended it."""
    if request.dry_run:
        return _judge_dry_run(request, exit_status)
    if exit_status == 0:
        return Verdict(RepairOutcome.CLEAN, "the file system was well; nothing had to be repaired")
    if exit_status == _REPAIRED:
        return Verdict(
            RepairOutcome.REPAIRED,
            "damage was repaired; files that lost their names are in lost+found on the drive, and content may be "
            "missing: let applications check their data",
        )
    if exit_status == _DIRTY_LOG:
        return Verdict(
            RepairOutcome.FAILED,
            "the log holds changes that were not written to their place, and cannot be replayed by mounting. With "
            "--force the log is thrown away: what was written in the last moments before the failure is lost, and "
            "files that were being changed then may be damaged; use it if the data is elsewhere too",
        )
    return Verdict(RepairOutcome.FAILED, _ended(exit_status))


def _judge_dry_run(request: RepairDrive, exit_status: int) -> Verdict:
    if exit_status == 0:
        return Verdict(RepairOutcome.CLEAN, "the file system is well: a repair would change nothing")
    if exit_status == 1:
        return Verdict(
            RepairOutcome.DAMAGED,
            f"damage was found, or the check could not be ended: see the output; nothing was changed. To repair it, "
            f"run: kubectl directpv repair {request.fsuuid}",
        )
    return Verdict(RepairOutcome.FAILED, _ended(exit_status))


def _ended(exit_status: int) -> str:
    if exit_status < 0:
        return f"xfs_repair was ended by signal {-exit_status}; repeat the repair, interrupting it does no harm"
    return (
        f"xfs_repair ended with status {exit_status}: see its output and the kernel log of the node. If it cannot read "
        "or write the disk, replace that; if it ran out of memory, give the agent more"
    )


def check_state(drive: Drive) -> None:
    """Refuse a drive whose state forbids repair.

    Raises:
        FailedPrecondition: Several devices carry it, or somebody moves or removes it.
    """
    record = drive.record
    if record.status in (DriveStatus.MOVING, DriveStatus.REMOVED):
        raise FailedPrecondition(f"{drive.describe()} is {record.status}; wait until that has ended")
    if any(condition.type is ConditionType.MULTIPLE_MATCHES for condition in drive.faults):
        raise FailedPrecondition(
            f"{drive.describe()} {drive.trouble()}; remove all devices but the one to repair, or use multipath"
        )


def check_turns(drive: Drive, running: Sequence[str]) -> None:
    """Refuse while operations work on the drive or its volumes.

    Raises:
        Busy: Names them.
    """
    if running:
        raise Busy(f"{drive.describe()} is being worked on ({', '.join(running)}); repeat when that has ended")


def check_unused(drive: Drive, device: str, table: MountTable) -> None:
    """Refuse a drive whose file system is mounted anywhere but at its own place.

    Args:
        drive: The drive.
        device: ``major:minor`` of the device that carries it.
        table: All mounts that can be seen, of the host too.

    Raises:
        FailedPrecondition: Names volumes and paths, and says what to do.
    """
    place = drive.view.path
    top = table.at(place)
    devices = {device} | ({top.device} if top is not None else set())
    found = sorted(
        {
            f"{mount.root.strip('/') or 'the whole drive'} at {mount.path}"
            for number in devices
            for mount in table.elsewhere(number, place)
        }
    )
    if found:
        more = f" and {len(found) - _MOST_PATHS} more" if len(found) > _MOST_PATHS else ""
        raise FailedPrecondition(
            f"{drive.describe()} is in use: {', '.join(found[:_MOST_PATHS])}{more}. Cordon the drive, delete the pods "
            "that use its volumes, wait until the volumes are unstaged, then repeat"
        )


def check_device(drive: Drive, facts: DeviceFacts, others: Sequence[Superblock]) -> None:
    """Refuse a device that is not certainly the drive's.

    Args:
        drive: The drive.
        facts: The device with the number under which the drive was seen last, or the one that shows its FSUUID.
        others: Backup super blocks that were found on it, looked for if the first one is damaged.

    Raises:
        FailedPrecondition: It shows something else, or belongs to somebody else, or is too small; says what.
    """
    name = facts.name
    for forbidden, what in (
        (facts.holders, f"is held by {', '.join(facts.holders)}"),
        (facts.swap, "is swap"),
        (facts.shadow is not None, "shows the file system of another device"),
        (facts.unreadable, f"cannot be read ({facts.unreadable})"),
    ):
        if forbidden:
            raise FailedPrecondition(f"{drive.describe()} cannot be repaired: device {name} {what}")
    if facts.superblock is not None and facts.superblock.fsuuid == drive.fsuuid:
        check_fits(name, facts.superblock.total, facts.size)
        return
    check_fits(name, drive.record.total, facts.size)
    _check_damaged(drive, facts, others)


def _check_damaged(drive: Drive, facts: DeviceFacts, others: Sequence[Superblock]) -> None:
    """The first super block does not name the drive: nothing else may be there."""
    backups = {block.fsuuid for block in others}
    if drive.record.status is DriveStatus.LOST and drive.fsuuid not in backups:
        raise FailedPrecondition(f"{drive.describe()} is Lost: no device carries it; plug it in first")
    if drive.fsuuid in backups:  # others are left from an earlier mkfs, which put them elsewhere
        backups = set()
    shown = backups | ({facts.superblock.fsuuid} if facts.superblock is not None else set())
    partitions = {"partitions"} if facts.partitioned else set()
    foreign = sorted({*shown, *(set(facts.signatures) - {FS_TYPE}), *partitions})
    if foreign:
        raise FailedPrecondition(
            f"{drive.describe()} cannot be repaired: device {facts.name} shows {', '.join(foreign)} instead; if "
            "another disk was put in its place, put the right one back"
        )


def end_of(output: bytes) -> str:
    """Return the end of a program's output, whole lines if possible."""
    text = output.decode(errors="replace")
    if len(output) < OUTPUT_BYTES:
        return text.strip()
    return text[text.find("\n") + 1 :].strip()
