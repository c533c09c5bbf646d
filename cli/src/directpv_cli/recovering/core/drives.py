"""Which drives become those of the nodes in which their disks are."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.rows import Action, Row

KIND = "Drive"


class Found(NamedTuple):
    """A drive that a node has on one of its devices."""

    node: str
    drive: m.SeenDrive

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.node}/{self.drive.device}"


class Registered(NamedTuple):
    """What the controller knows: drives, and which nodes are heard."""

    drives: Mapping[str, m.DriveRecord]
    online: Mapping[str, bool]


def drive_row(found: Found, twins: Iterable[str], known: Registered, *, dangerous: bool, named: bool = False) -> Row:
    """Return what becomes of a drive.

    Args:
        found: The drive.
        twins: Other nodes that have a device with the same file system.
        known: What the controller knows.
        dangerous: Whether a person says that no other node has the disk mounted.
        named: Whether people named this very drive: one that they gave up comes back only then.
    """
    drive, node = found.drive, found.node
    record = known.drives.get(drive.fsuuid)
    if others := ", ".join(sorted(twins)):
        return _row(found, Action.CONFLICT, f"node {others} has it too: remove all copies but one")
    if drive.problem:
        return _row(found, Action.CONFLICT, drive.problem)
    if drive.retired and not named:
        return _row(found, Action.LEFT, f"was removed at {drive.retired}; name the drive to bring it back")
    if not drive.retired and drive.node in ("", node) and (record is None or record.node == node):
        return _row(found, Action.EXISTS, "" if record is not None else "its node is about to report it")
    before = "nobody" if drive.retired else drive.node or (record.node if record is not None else "")
    if record is not None and record.node != node:
        why = _held(record, online=known.online.get(record.node, False), dangerous=dangerous)
        if why:
            return _row(found, Action.CONFLICT, why)
        before = record.node
    volumes = "1 volume" if drive.count == 1 else f"{drive.count} volumes"
    return _row(found, Action.ADOPT, f"of {before if drive.retired else f'node {before}'}, with {volumes}")


def _held(record: m.DriveRecord, *, online: bool, dangerous: bool) -> str:
    """Return why the node that has the drive by the registry may have its disk mounted; empty: it has not.

    The controller decides the same once more.
    """
    if online and record.status is not m.DriveStatus.LOST:
        return f"node {record.node} is online and has it; take the disk out of it first, or remove the copy here"
    if not online and not dangerous:
        return (
            f"node {record.node} is not heard, and may have it mounted; if the disk was taken out of it, or its "
            "machine is off for good, add --dangerous"
        )
    return ""


def _row(found: Found, action: Action, detail: str) -> Row:
    return Row(KIND, f"{found.title} {found.drive.fsuuid}", action, detail)


def twins_of(found: Iterable[Found]) -> dict[str, set[str]]:
    """Return for each drive the nodes that have a device with it."""
    nodes: dict[str, set[str]] = {}
    for each in found:
        nodes.setdefault(each.drive.fsuuid, set()).add(each.node)
    return nodes
