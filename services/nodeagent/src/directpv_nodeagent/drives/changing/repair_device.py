"""Finds the device of a drive that shall be repaired, frees it, and runs xfs_repair on it."""

import contextlib
import functools
import logging
import os
from dataclasses import dataclass
from io import FileIO
from typing import Final

from directpv_common.protocol.errors import DirectPVError, FailedPrecondition
from directpv_common.protocol.messages import RepairDrive
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.signatures import DeviceHeld, open_alone, open_device, read_backups
from directpv_nodeagent.drives.core import repair
from directpv_nodeagent.drives.core.standing import candidates
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken import renewal
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.linux import mounts
from directpv_nodeagent.linux.core.mountinfo import MountTable
from directpv_nodeagent.linux.supervised import Ended, run_supervised

log = logging.getLogger(__name__)

BUSY_SECONDS: Final = 5.0
"""Samples and purges that had begun let go of the drive within so long."""


@dataclass(frozen=True, slots=True)
class Found:
    """The device that carries a drive, and what is mounted of it."""

    facts: DeviceFacts
    backups: tuple[Superblock, ...]
    """Backup super blocks, looked for if the first one does not name the drive."""
    table: MountTable


def find(prober: Prober, drive: Drive) -> Found:
    """Look for the drive's device: by its super block, else by the number under which it was seen last; blocking.

    Raises:
        FailedPrecondition: There is none, or more than one.
        DriveFault: Devices cannot be probed.
    """
    devices = prober.probe()
    showing = candidates(devices, {drive.fsuuid: ""}).get(drive.fsuuid, [])
    if len(showing) > 1:
        names = ", ".join(sorted(facts.name for facts in showing))
        raise FailedPrecondition(f"devices {names} carry {drive.describe()}; remove all but the one to repair")
    last = [facts for facts in devices if facts.major_minor == drive.view.device]
    facts = next(iter(showing or last), None)
    if facts is None:
        raise FailedPrecondition(f"no device carries {drive.describe()}; plug it in first")
    path = prober.path_of(facts)
    backups = () if showing else read_backups(path, facts.major_minor, drive.record.total)
    return Found(facts, backups, mounts.all_mounts())


async def work_on(drives: Drives, request: RepairDrive, drive: Drive, found: Found, seconds: float) -> Ended:
    """Unmount the drive, and run xfs_repair; the device's lock is held. The drive is left unmounted.

    Args:
        drives: All drives.
        request: What to do.
        drive: The drive, in state Repairing.
        found: Its device.
        seconds: How long xfs_repair may run.

    Raises:
        FailedPrecondition: Somebody uses the drive.
        DriveFault: The device does not answer, or xfs_repair cannot be run or did not end in time.
    """
    number, path = found.facts.major_minor, drives.prober.path_of(found.facts)
    run = functools.partial(drives.mounting, drive.fsuuid, found.facts)
    mounted = await run(lambda: _unmount(drive, number), "unmounting it")
    if not request.dry_run:
        root = drives.host.root
        await run(lambda: _replay(path, drive.fsuuid, root), "replaying its log")
    try:
        hold: FileIO = await run(lambda: _hold(path, number, request.dry_run), "opening it")
    except FailedPrecondition:
        if mounted:
            await run(lambda: _put_back(drives, drive, path), "mounting it again")
        raise
    with hold:
        log.info("xfs_repair begins", extra={"drive": drive.fsuuid, "device": found.facts.name})
        ended = await run_supervised(*repair.arguments(request, path), within=seconds, keep=repair.OUTPUT_BYTES)
        if repair.must_zero_log(request, ended.status):
            log.warning("log thrown away, as was asked", extra={"drive": drive.fsuuid})
            again = repair.arguments(request, path, zero_log=True)
            ended = await run_supervised(*again, within=seconds, keep=repair.OUTPUT_BYTES)
        return ended


def _unmount(drive: Drive, number: str) -> bool:
    """Unmount the drive from its place, unless it is used; tell whether it was mounted there, and well or not."""
    path, mounted = drive.view.path, False
    while (top := (table := mounts.all_mounts()).at(path)) is not None:
        repair.check_unused(drive, number, table)
        if top.device not in (number, drive.view.device):
            raise FailedPrecondition(f"{top.source} is mounted at {path}, where the drive belongs; unmount it")
        own = mounts.own_mounts().at(path)
        if own is None:
            raise FailedPrecondition(f"{path} is mounted on the host, out of the agent's reach; unmount it there")
        mounts.unmount_unused(path, BUSY_SECONDS)
        mounted |= top.device == number
    repair.check_unused(drive, number, table)
    return mounted


def _put_back(drives: Drives, drive: Drive, path: str) -> None:
    """Mount a drive again that others hold mounted: it is one file system, which a look without writing cannot join."""
    try:
        xfs.mount_drive(path, drive.view.path, drive.fsuuid, quota_required=drives.host.quota_required)
    except (OSError, xfs.QuotaMissing) as error:
        log.warning("drive not mounted again", extra={"drive": drive.fsuuid, "error": str(error)})


def _replay(path: str, fsuuid: str, root: str) -> None:
    """Mount the file system for a moment, which replays its log; if that fails, xfs_repair tells what is wrong."""
    try:
        with xfs.inspected(path, fsuuid, root, recover=True):
            pass
    except (OSError, DirectPVError) as error:
        log.info("log not replayed", extra={"drive": fsuuid, "error": str(error)})


def _hold(path: str, number: str, dry_run: bool) -> FileIO:
    """Return the device, open so that its number stays its own; nobody else uses it at this moment.

    xfs_repair itself holds it exclusively, except in a dry run: then this does.

    Raises:
        FailedPrecondition: The kernel uses it.
        DriveFault: It cannot be opened, or is another device.
    """
    with contextlib.ExitStack() as stack:
        try:
            alone = stack.enter_context(open_alone(path, number))
        except DeviceHeld as error:
            holders = describe_paths(renewal.foreign_holders(number)) or "not to be seen from here"
            raise FailedPrecondition(
                f"{path} is in use: its file system is still mounted out of sight, in another mount namespace (a "
                "container that was started while it was mounted), or another program holds the device. Processes "
                f"there: {holders}. End them, then repeat"
            ) from error
        device = alone if dry_run else stack.enter_context(open_device(path, number))
        return FileIO(os.dup(device))
