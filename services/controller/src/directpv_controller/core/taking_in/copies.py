"""What moves have left on a drive in ``.directpv/incoming/``, though the registry knows no such move any more."""

from typing import Final

from directpv_common.protocol.messages import HeldCopy, HeldDrive, VolumeRecord
from directpv_controller.core.placing.model import UNKNOWN, Drive
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.outcome import Outcome, Sealed

NO_MOVE: Final = "0" * 16
"""An id that no move has: what is not complete is nobody's."""


def take_in_copies(ledger: Ledger, drive: Drive, held: HeldDrive, outcome: Outcome) -> int:
    """Have copies removed that can never become a volume; return the bytes that copies take and no sum counts."""
    for copy in held.copies:
        if copy.move and copy.name not in ledger.volumes and ("volume", copy.name) not in ledger.unreadable:
            _nobodys(ledger, drive, copy, outcome)
            continue
        record = _waste(ledger, drive, copy, outcome)
        if record is not None:
            outcome.unseal.append(Sealed(record, copy.move or NO_MOVE, drive.fsuuid))
    counted = drive.guests.keys() | drive.volumes.keys()
    return sum(copy.size for copy in held.copies if copy.name not in counted)


def _nobodys(ledger: Ledger, drive: Drive, copy: HeldCopy, outcome: Outcome) -> None:
    """Tell of a copy that is whole, and may be all that is left of a volume of which the registry knows nothing.

    Once all drives of the node that can be read were: until then one of them may show the volume.
    """
    outcome.unsettled = True
    others = ledger.nodes[drive.record.node].drives.values()
    if all(each.generation != UNKNOWN or each is drive or not each.known for each in others):
        outcome.tell("volume", "conflict", copy.name, drive=drive.fsuuid, registered="", move=copy.move)


def _waste(ledger: Ledger, drive: Drive, copy: HeldCopy, outcome: Outcome) -> VolumeRecord | None:
    """Return the volume of a copy that is not needed; None: it is, or nobody knows.

    One that is complete may be all that is left of a volume, until its own drive has shown that it has it.
    """
    if ("volume", copy.name) in ledger.unreadable:
        return None
    volume = ledger.volumes.get(copy.name)
    if volume is None:
        return VolumeRecord(name=copy.name, fsuuid=drive.fsuuid, capacity=1)
    if volume.record.moving is not None:
        return None
    if not volume.seen:
        outcome.unsettled = True
        return None
    elsewhere = ledger.drives[volume.record.fsuuid].record.node != drive.record.node
    return None if elsewhere and copy.move else volume.record
