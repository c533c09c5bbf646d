"""Whether a drive may become another node's: a disk can be mounted by two nodes, and that destroys it."""

from directpv_common.protocol.messages import DriveRecord, DriveStatus
from directpv_controller.core.placing.model import Change, Volume, Writes
from directpv_controller.core.reserving.ledger import Ledger


def objection(record: DriveRecord, node: str, *, online: bool, dangerous: bool) -> str:
    """Return why the drive of ``record`` may not become that of ``node`` now, and what would help; empty if it may.

    Args:
        record: As the registry has it; its node had the disk until now.
        node: Where the disk was found.
        online: Whether the node that had it is heard.
        dangerous: Whether a person says that the disk is not there any more.
    """
    if record.node == node:
        return ""
    if online and record.status is not DriveStatus.LOST:
        return (
            f"node {record.node} is online and has drive {record.fsuuid} ({record.device or record.status}); take the "
            f"disk out of it first, or remove the copy from node {node}"
        )
    if not online and not dangerous:
        return (
            f"node {record.node} is not heard, so nobody knows whether it has drive {record.fsuuid} mounted; if its "
            "disk was taken out of it, or its machine is off for good, repeat with --dangerous"
        )
    return ""


def welcomed(ledger: Ledger, fsuuid: str) -> Change | None:
    """Let a drive that was given up be taken in again when a node reports it, with the volumes that are still on it.

    Those that had been deleted before are so still: they are entered as what they were, and go when the drive is there.

    None: nothing of that is recorded.
    """
    ledger.leaving.pop(fsuuid, None)
    bury = ledger.exhume(fsuuid)
    retired = ledger.retired.pop(fsuuid, None)
    if retired is None:
        return None
    ordered = tuple(record for record in retired.deleting if record.name not in ledger.volumes)
    drive = ledger.drives.get(fsuuid) or (ledger.enter_placeholder(fsuuid) if ordered else None)
    volumes = [Volume(record) for record in ordered]
    for volume in volumes:
        assert drive is not None
        ledger.add(drive, volume)

    def undo() -> None:
        bury()
        for volume in volumes:
            ledger.drop(volume)
        if drive is not None and not drive.known and not drive.volumes:
            ledger.leave(drive)
        ledger.retired[fsuuid] = retired

    return ledger.change(Writes(volumes=ordered, settled=(retired,)), undo, *(record.name for record in ordered))
