"""Looks at a device that is not mounted: whose drive it is, and what is on it. Blocks; writes nothing if it can."""

import errno
from dataclasses import dataclass
from typing import Final

from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.messages import DriveRecord, Segments
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core import standing
from directpv_nodeagent.drives.core.standing import Verdict
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.filesystem.xfs_log import is_clean
from directpv_nodeagent.drives.taken import retired
from directpv_nodeagent.layout.drive_dir import DriveDir, open_drive

LOG_SECONDS: Final = 15.0
"""How long reading the head of a log may take."""


@dataclass(frozen=True, slots=True)
class Host:
    """What all drives of this agent have in common."""

    node: str
    root: str
    topology: Segments
    quota_required: bool


class NotOurs(Exception):
    """The device carries no drive of this node; ``foreign`` if DirectPV laid it out all the same.

    ``certain``: it says so in words that can be read, or has nothing of a drive; replaying its log cannot change that.
    """

    def __init__(self, reason: str, *, foreign: bool, certain: bool = False, retired: bool = False) -> None:
        super().__init__(reason)
        self.foreign = foreign
        self.certain = certain
        self.retired = retired
        """It was a drive, of whatever node, and was given up."""


def inspect(host: Host, fsuuid: str, facts: DeviceFacts) -> DriveRecord:
    """Return the record on a device that is a drive of this node.

    The first look writes nothing to the device. After a power failure it may see files half written, since the log
    was not replayed: then, and only if nothing says that the drive is another node's, a second look replays it.
    A drive that upstream laid out has no record: the one returned says that nothing is free, until more is known.
    """
    try:
        record = _look(host, fsuuid, facts, recover=False)
    except (OSError, DirectPVError, NotOurs) as error:
        if isinstance(error, NotOurs) and error.certain:
            raise
        record = _look(host, fsuuid, facts, recover=True)
    assert facts.superblock is not None
    unknown = facts.superblock.total
    return record or standing.new_record(facts, host.node, fsuuid, unknown, host.topology, now_rfc3339())


def _look(host: Host, fsuuid: str, facts: DeviceFacts, *, recover: bool) -> DriveRecord | None:
    with (
        xfs.inspected(f"/dev/{facts.name}", fsuuid, host.root, recover=recover) as path,
        open_drive(path, fsuuid, proven=False) as drive,
    ):
        return record_if_ours(host, drive)


def record_if_ours(host: Host, drive: DriveDir) -> DriveRecord | None:
    """Return the drive's record, or None for one that upstream laid out.

    Raises:
        NotOurs: It is another node's, was given up, or is no drive.
    """
    if retired.is_noted(host.root, drive.fsuuid):
        since = retired.since(host.root, drive.fsuuid)
        why = f"it was removed from DirectPV {f'at {since}, ' if since else ''}while it was away"
        raise NotOurs(why, foreign=False, certain=True, retired=True)
    named = drive.named_fsuuid()
    try:
        record = drive.record() if named is not None else None
    except DirectPVError as error:
        raise NotOurs(f"{error.message}; restore or remove the file", foreign=True) from error
    found = standing.verdict(host.node, drive.fsuuid, named, record)
    if found is Verdict.NO_DRIVE:
        certain = named is not None or not drive.has_traces()
        raise NotOurs(f"its meta.info names {named or 'nothing'}", foreign=False, certain=certain)
    if found is Verdict.RETIRED:
        assert record is not None
        since = f"it was removed from DirectPV at {record.retired}"
        raise NotOurs(since, foreign=False, certain=True, retired=True)
    if found is Verdict.FOREIGN:
        assert record is not None
        raise NotOurs(f"it belongs to node {record.node}", foreign=True, certain=True)
    return record


def volumes_on(root: str, facts: DeviceFacts) -> list[str]:
    """Return the volumes on a drive that is not mounted, whosever it is; nothing is written to it.

    Raises:
        OSError: It cannot be mounted or read, or none is seen and there may be some in its log.
        DriveFault: Nothing can be found out about its log.
    """
    if facts.superblock is None:
        raise OSError(errno.EUCLEAN, "its super block cannot be read", facts.name)
    fsuuid = facts.superblock.fsuuid
    with (
        xfs.inspected(f"/dev/{facts.name}", fsuuid, root, recover=False) as path,
        open_drive(path, fsuuid, proven=False) as drive,
    ):
        names = [*drive.volume_names(), *drive.deleted_names()]
    device = f"/dev/{facts.name}"
    if not names and not is_clean(device, facts.major_minor, LOG_SECONDS):
        raise OSError(
            errno.EUCLEAN,
            "its log was not replayed, as after a power failure, and may hold some. Let its own node use it once, or "
            f"mount and unmount it (mount -t xfs -o prjquota {device} /mnt; umount /mnt), then discover again",
            facts.name,
        )
    return names
