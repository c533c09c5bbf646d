"""Lets go of the device of a drive that is given up. Blocks: call it in an executor.

The drive itself says first that it is nobody's, then it is unmounted: whatever ends in between, no agent takes it over
again. If it cannot be unmounted, because somebody uses it, it is told that all is as before.
"""

import contextlib
import logging
import os
from typing import NamedTuple

from msgspec.structs import replace

from directpv_common.protocol.errors import DirectPVError, FailedPrecondition
from directpv_common.protocol.messages import DriveRecord, Wipe
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.drives.core import release
from directpv_nodeagent.drives.core.standing import candidates
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.layout import copies
from directpv_nodeagent.layout.core.layout import INCOMING_DIR, META_DIR, drive_path
from directpv_nodeagent.layout.core.places import describe_paths
from directpv_nodeagent.layout.drive_dir import open_drive
from directpv_nodeagent.linux import mounts

log = logging.getLogger(__name__)

BUSY_SECONDS = 5.0
"""Looks and samples that had begun let go of the drive within so long."""


class Asked(NamedTuple):
    """A drive to let go of."""

    host: Host
    fsuuid: str
    facts: DeviceFacts
    record: DriveRecord | None
    """As its agent has it; None: it has given it up before."""
    wipe: Wipe
    now: str
    lost: bool = False
    """It is given up with all that is on it: nothing is taken back."""

    @property
    def place(self) -> str:
        """Where it is mounted."""
        return drive_path(self.host.root, self.fsuuid)


def find(prober: Prober, fsuuid: str, number: str) -> list[DeviceFacts]:
    """Return the devices that carry a drive; ``number``: of the one that did when last seen, empty if none."""
    return candidates(prober.probe(), {fsuuid: number}).get(fsuuid, [])


def let_go(asked: Asked) -> bool:
    """Note on a drive that it is given up, and unmount it; tell whether it could be noted.

    Raises:
        FailedPrecondition: It is used, or must not be wiped; it is as it was.
    """
    if not asked.lost:
        _check_unused(asked)
    noted, found = _note(asked)
    try:
        release.check_wipeable(asked.facts, asked.wipe, found, read=noted)
        _unmount(asked)
    except BaseException:
        if noted and not asked.lost:
            _take_back(asked)
        raise
    return noted


def clear(host: Host, fsuuid: str) -> None:
    """Take away what is mounted at the place of a drive that no device carries: a dead file system."""
    path = drive_path(host.root, fsuuid)
    while (top := mounts.own_mounts(path).at(path)) is not None and not xfs.is_alive(path, top.device):
        mounts.unmount(path)


def remove_place(host: Host, fsuuid: str) -> None:
    """Remove the directory where a drive without volumes was mounted, if it is empty and nothing is mounted there.

    That of a drive with volumes stays: pods may keep what covers them, and the name of that is the drive's.
    """
    with contextlib.suppress(OSError):
        os.rmdir(drive_path(host.root, fsuuid))


def _check_unused(asked: Asked) -> None:
    table, place, number = mounts.all_mounts(), asked.place, asked.facts.major_minor
    used = sorted(f"{mount.root} at {mount.path}" for mount in table.elsewhere(number, place))
    if used:
        raise FailedPrecondition(
            f"drive {asked.fsuuid} ({asked.facts.name}) is in use: {describe_paths(used)}; unmount that, then repeat"
        )
    top = table.at(place)
    if top is not None and top.device != number and xfs.is_alive(place, top.device):
        raise FailedPrecondition(f"{top.source} is mounted at {place}, where the drive belongs; unmount it")


def _note(asked: Asked) -> tuple[bool, list[str]]:
    """Write into the drive's record that it is given up; tell whether that is durable, and what else is there."""
    try:
        _mount(asked)
        with open_drive(asked.place, asked.fsuuid, proven=False) as drive:
            record = drive.record() or asked.record
            if record is None or drive.named_fsuuid() != asked.fsuuid:
                return False, []
            if not record.retired:
                drive.write_record(replace(record, retired=asked.now))
            copied = [f"{META_DIR}/{INCOMING_DIR}/{name}" for name in copies.names(drive)]
            return True, [*drive.volume_names(), *drive.deleted_names(), *copied]
    except (OSError, DirectPVError, xfs.QuotaMissing) as error:
        log.warning("drive does not know that it is given up", extra={"drive": asked.fsuuid, "error": str(error)})
        return False, []


def _mount(asked: Asked) -> None:
    top = mounts.own_mounts(asked.place).at(asked.place)
    if top is not None and top.device == asked.facts.major_minor:
        return
    if top is not None:
        mounts.unmount(asked.place)
    required = asked.host.quota_required
    xfs.mount_drive(f"/dev/{asked.facts.name}", asked.place, asked.fsuuid, quota_required=required)


def _take_back(asked: Asked) -> None:
    """Let the drive be what it was."""
    with contextlib.suppress(OSError, DirectPVError), open_drive(asked.place, asked.fsuuid, proven=False) as drive:
        record = drive.record()
        if record is not None and record.retired:
            drive.write_record(replace(record, retired=""))


def _unmount(asked: Asked) -> None:
    """Unmount the drive from its place, plainly; what is dead there goes however busy it is."""
    while (top := mounts.own_mounts(asked.place).at(asked.place)) is not None:
        if xfs.is_alive(asked.place, top.device):
            mounts.unmount_unused(asked.place, BUSY_SECONDS)
        else:
            mounts.unmount(asked.place)
    left = mounts.all_mounts().of(asked.facts.major_minor)
    if left:
        places = describe_paths(sorted({mount.path for mount in left}))
        raise FailedPrecondition(f"{asked.facts.name} is still mounted at {places}, out of the agent's reach")
