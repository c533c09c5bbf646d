"""Takes a drive over: looks whose it is, mounts it, and reads all that is on it. Blocks: call it in an executor.

    mounted at its place? ── yes, from this device ────────────────────────────────┐
            │ no (a dead mount is taken away first)                                │
            ▼                                                                      │
    look at it read-only: meta.info names it, drive.json this node? ── no ─► leave │
            │ unclear: replay the log, look again                                  │
            │ yes                                                                  │
            ▼                                                                      ▼
    mount with project quota ──► the same two questions again ──► records, project ids, limits, remains, mounts

A drive that was mounted here and turns out not to be ours, or cannot be read, is unmounted again. Mounts of volumes are
none of its business: :mod:`.renewal` changes them, before and after.
"""

import contextlib
import errno
import logging
import os
from dataclasses import replace
from typing import Final

from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import DriveRecord
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core import standing
from directpv_nodeagent.drives.core.growth import check_fits
from directpv_nodeagent.drives.core.renewal import COVER, covered
from directpv_nodeagent.drives.core.standing import Standing
from directpv_nodeagent.drives.core.states import Observation
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken import numbers, remembered, renewal
from directpv_nodeagent.drives.taken.failures import StillMounted, TakeOverFailed, refused, words_of
from directpv_nodeagent.drives.taken.inspection import Host, NotOurs, inspect, record_if_ours
from directpv_nodeagent.layout import ballast, usage
from directpv_nodeagent.layout.contents import alone, read_contents
from directpv_nodeagent.layout.core.layout import BALLAST_FILE, META_DIR, drive_path
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir, open_drive
from directpv_nodeagent.linux import glance, mounts
from directpv_nodeagent.linux.core.mountinfo import MountTable
from directpv_nodeagent.linux.open_files import holders_of_device

log = logging.getLogger(__name__)

COUNT_SECONDS: Final = 5.0
"""How long counting the files of an adopted drive may take per volume, where quota does not tell."""


def take_over(host: Host, fsuuid: str, facts: DeviceFacts, staging: dict[str, str] | None = None) -> Contents:
    """Mount the drive on the device ``facts``, unless it is mounted already, and return what is on it.

    Args:
        host: This agent.
        fsuuid: The drive.
        facts: Its device, with super block.
        staging: Where volumes were staged, as far as known.

    Raises:
        NotOurs: It is no drive of this node; it is as it was.
        StillMounted: Its own failed file system must go from where volumes of it are mounted first.
        TakeOverFailed: It cannot be mounted or read.
    """
    path = drive_path(host.root, fsuuid)
    seen: DriveRecord | None = None
    try:
        mounted = _clear_place(host, fsuuid, facts)
        if not mounted:
            if facts.superblock is not None:
                check_fits(facts.name, facts.superblock.total, facts.size)
            seen = _inspect_freed(host, fsuuid, facts)
            xfs.mount_drive(f"/dev/{facts.name}", path, fsuuid, quota_required=host.quota_required)
    except NotOurs:
        remembered.forget(host.root, fsuuid)
        raise
    except TakeOverFailed as error:
        error.record = error.record or seen or remembered.recall(host.root, fsuuid)
        raise
    except (OSError, DirectPVError, xfs.QuotaMissing) as error:
        raise refused(error, facts, seen or remembered.recall(host.root, fsuuid)) from error
    try:
        contents = _take(host, fsuuid, facts, staging or {}, newly=not mounted)
        remembered.note(host.root, contents.record, facts.identity)
        return contents
    except BaseException:
        if not mounted:
            with contextlib.suppress(OSError):
                mounts.unmount(path)
        raise


def _clear_place(host: Host, fsuuid: str, facts: DeviceFacts) -> bool:
    """Tell whether the drive is mounted at its place; take away what is dead there.

    Where else a dead file system is mounted, volumes of it are used: those places are renewed after the drive is
    mounted again.
    """
    path = drive_path(host.root, fsuuid)
    numbers.note(host.root, facts.major_minor, fsuuid)
    if glance.device_at(path) == facts.major_minor and xfs.is_alive(path, facts.major_minor):
        return True
    while (top := (table := mounts.own_mounts(path)).at(path)) is not None:
        alive = xfs.is_alive(path, top.device)
        what = standing.standing(table, path, facts.major_minor, alive=alive)
        if what is Standing.RIGHT:
            return True
        if what is Standing.OTHER:
            raise TakeOverFailed(Observation.MOUNT_FAILED, f"{top.source} is mounted at {path}; unmount it")
        log.warning("dead mount taken away", extra={"path": path, "device": top.source})
        numbers.note(host.root, top.device, fsuuid)
        mounts.unmount(path)
    return False


def _inspect_freed(host: Host, fsuuid: str, facts: DeviceFacts) -> DriveRecord:
    """Inspect the device; if its own failed file system keeps it busy, tell who must let go of that first.

    Raises:
        StillMounted: Places of volumes must be covered.
        TakeOverFailed: Others hold the failed file system, or have files open on it.
    """
    try:
        return inspect(host, fsuuid, facts)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    device = facts.major_minor
    places = [mount.path for mount in mounts.own_mounts(device).of(device)]
    if used := [path for path in places if xfs.is_alive(path, device)]:
        raise TakeOverFailed(Observation.MOUNT_FAILED, f"{facts.name} is mounted at {used[0]}; unmount it")
    failed = f"the file system of {facts.name} has failed, and"
    if holders := renewal.foreign_holders(device):
        raise TakeOverFailed(
            Observation.STALE_MOUNT,
            f"{failed} processes of other mount namespaces hold it: {describe_paths(holders)}; restart these pods, "
            "then it is mounted anew",
        )
    if places:
        raise StillMounted(
            Observation.STALE_MOUNT,
            f"{failed} is mounted at {describe_paths(places)}, where an operation has not ended; it is tried again",
        )
    try:
        return inspect(host, fsuuid, facts)  # who held it may have ended meanwhile
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        if holders_of_device(device):
            raise
        raise TakeOverFailed(
            Observation.STALE_MOUNT,
            f"{failed} programs have files open on it; end them (lsof +f -- shows them), then it is mounted anew",
        ) from error


def _take(host: Host, fsuuid: str, facts: DeviceFacts, staging: dict[str, str], *, newly: bool) -> Contents:
    """Read a mounted drive, and bring its own record up to date."""
    path = drive_path(host.root, fsuuid)
    record: DriveRecord | None = None
    try:
        table = xfs.seclude(path, lambda: _table(path, facts.major_minor))
        with open_drive(path, fsuuid, proven=False) as drive:
            record = record_if_ours(host, drive)
            view = _view(host, drive, facts, table, record)
            if view.device != facts.major_minor:  # its number went to another device since that was looked at
                table = _table(path, view.device)
            if os.fstatvfs(drive.root).f_flag & os.ST_RDONLY:
                raise TakeOverFailed(Observation.READ_ONLY, f"{facts.name} is mounted read-only", record)
            check_fits(facts.name, xfs.geometry_of(drive.root).total, facts.size)
            _relabel(drive, record)
            xfs.fail_fast(facts.name)
            with alone(drive, f"{META_DIR}/{BALLAST_FILE}"):
                ballast.keep(drive.root)
            fresh = _fresh_record(host, drive, view, facts, record)
            contents = read_contents(view, drive, fresh, table, staging)
            if fresh != record or not newly:  # mounted before: whether it can still be written must be seen
                _keep_record(drive, fresh)
            return replace(contents, stale=_may_be_stale(host, view, table))
    except OSError as error:
        observation = Observation.IO_ERROR if error.errno in xfs.DEAD else Observation.MOUNT_FAILED
        raise TakeOverFailed(observation, words_of(error), record) from error
    except DirectPVError as error:
        raise TakeOverFailed(Observation.MOUNT_FAILED, error.message, record) from error


def _table(path: str, device: str) -> MountTable:
    """Return all that the mount table tells of a drive; read once, for it has thousands of mounts on some nodes."""
    return mounts.own_mounts(path, device, COVER, parents=True)


def _may_be_stale(host: Host, view: DriveView, table: MountTable) -> bool:
    """Tell whether a place may show a volume dead: only if the drive had another number, or places were covered."""
    with contextlib.suppress(OSError):  # the host's disk is no affair of the drive's: look, then
        former = numbers.numbers_of(host.root, view.fsuuid) - {view.device}
        return bool(former) or any(covered(mount) for mount in table.mounts)
    return True


def _keep_record(drive: DriveDir, record: DriveRecord) -> None:
    """Write the drive's record; a drive that is full serves without, and is asked again at its next take-over."""
    try:
        drive.write_record(record)
    except OSError as error:
        if error.errno not in ballast.FULL:
            raise
        log.warning("drive is full: its record is not written", extra={"drive": drive.fsuuid})


def _relabel(drive: DriveDir, record: DriveRecord | None) -> None:
    """Make the link that proves that the drive is mounted, if somebody removed it."""
    if drive.is_laid_out():
        return
    try:
        drive.write_layout()
    except OSError as error:
        raise TakeOverFailed(Observation.RELABEL_FAILED, words_of(error), record) from error


def _view(host: Host, drive: DriveDir, facts: DeviceFacts, table: MountTable, record: DriveRecord | None) -> DriveView:
    top = table.at(drive.path)
    enforced = top is not None and xfs.has_quota(top.super_options)
    if host.quota_required and not enforced:
        raise TakeOverFailed(
            Observation.MOUNT_FAILED,
            f"{facts.name} was mounted without project quota, not by DirectPV; unmount it wherever it is mounted",
            record,
        )
    return DriveView(host.root, drive.fsuuid, drive.device, facts.name, enforced)


def _fresh_record(
    host: Host, drive: DriveDir, view: DriveView, facts: DeviceFacts, record: DriveRecord | None
) -> DriveRecord:
    if record is not None:
        return standing.refreshed(record, facts, host.topology)
    assert facts.superblock is not None
    # In this order: what a pod writes in between, or what XFS reserves for it, counts as overhead and is not promised.
    used = sum(usage.measure(view, name, 0, COUNT_SECONDS).used for name in drive.volume_names())
    state = os.fstatvfs(drive.root)
    overhead = standing.overhead_of_adopted(facts.superblock.total, state.f_bfree * state.f_frsize, used)
    log.info("drive adopted", extra={"drive": drive.fsuuid, "device": facts.name, "overhead": overhead})
    return standing.new_record(facts, host.node, drive.fsuuid, overhead, host.topology, now_rfc3339())


def lay_out(host: Host, fsuuid: str, facts: DeviceFacts) -> None:
    """Give a freshly made file system identity and record, and leave it unmounted: all of it is on disk then.

    Raises:
        TakeOverFailed: It cannot be mounted or written; it is unmounted.
    """
    path = drive_path(host.root, fsuuid)
    assert facts.superblock is not None
    try:
        xfs.mount_drive(f"/dev/{facts.name}", path, fsuuid, quota_required=host.quota_required)
        try:
            with open_drive(path, fsuuid, proven=False) as drive:
                drive.write_layout()
                ballast.keep(drive.root)
                state = os.fstatvfs(drive.root)
                total, free = facts.superblock.total, facts.superblock.free
                overhead = standing.overhead_at_init(total, free, state.f_bfree * state.f_frsize)
                record = standing.new_record(facts, host.node, fsuuid, overhead, host.topology, now_rfc3339())
                drive.write_record(record)
        finally:
            mounts.unmount(path)
    except (OSError, DirectPVError, xfs.QuotaMissing) as error:
        raise TakeOverFailed(Observation.MOUNT_FAILED, words_of(error)) from error
