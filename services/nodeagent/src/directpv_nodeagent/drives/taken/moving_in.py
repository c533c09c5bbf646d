"""Drives of other nodes on devices of this one: what is on them, and how one becomes this node's. Blocks."""

from typing import NamedTuple

from msgspec.structs import replace

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken import retired
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.layout.drive_dir import DriveDir, open_drive


class Shown(NamedTuple):
    """What a drive says of itself."""

    record: DriveRecord | None
    """None: upstream laid it out, and it does not say whose it is."""
    volumes: dict[str, VolumeRecord]


def look(host: Host, fsuuid: str, facts: DeviceFacts) -> Shown:
    """Return what is on a drive that is not mounted, whosever it is; nothing is written to it.

    What was written just before a power failure may not be seen: its log is not replayed.

    Raises:
        OSError: It cannot be mounted or read.
        DirectPVError: It is no drive, or says nothing that can be understood.
    """
    with (
        xfs.inspected(f"/dev/{facts.name}", fsuuid, host.root, recover=False) as path,
        open_drive(path, fsuuid, proven=False) as drive,
    ):
        return Shown(_record(drive), drive.read_volumes())


def move_in(host: Host, fsuuid: str, facts: DeviceFacts, from_node: str) -> None:
    """Let the drive say, durably, that it is this node's, though it may have been given up before.

    Repeating is safe; it is not mounted afterwards.

    Raises:
        FailedPrecondition: It says that it is another one's than ``from_node``'s.
        OSError: It cannot be mounted, read or written.
        DirectPVError: It is no drive, or says nothing that can be understood.
    """
    with (
        xfs.changed(f"/dev/{facts.name}", fsuuid, host.root) as path,
        open_drive(path, fsuuid, proven=False) as drive,
    ):
        record = _record(drive)
        retired.forget(host.root, fsuuid)
        if record is None or (record.node == host.node and not record.retired):
            return
        if record.node not in (from_node, host.node):
            raise FailedPrecondition(
                f"drive {fsuuid} says that it is node {record.node}'s, not {from_node or 'nobody'}'s; look again"
            )
        drive.write_record(replace(record, node=host.node, topology=host.topology, retired=""))


def _record(drive: DriveDir) -> DriveRecord | None:
    named = drive.named_fsuuid()
    if named != drive.fsuuid:
        raise FailedPrecondition(f"its meta.info names {named or 'nothing'}: it is no drive of DirectPV")
    return drive.record()
