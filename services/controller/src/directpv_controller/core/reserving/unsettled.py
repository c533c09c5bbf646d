"""What a move that has not ended means for everything else that is done to its volume."""

from directpv_common.protocol.errors import Busy
from directpv_common.protocol.messages import MovePhase, VolumeRecord
from directpv_controller.core.reserving.books import Books


def require_settled(record: VolumeRecord) -> None:
    """Refuse what cannot be done to a volume while it moves.

    Raises:
        Busy: It does.
    """
    if record.moving is not None:
        raise Busy(
            f"volume {record.name} is being moved to another drive; repeat when that has ended, or cancel it: "
            f"kubectl directpv move --cancel {record.name}",
            name=record.name,
        )


def is_left_by_move(known: VolumeRecord, fsuuid: str, found: VolumeRecord) -> bool:
    """Tell whether what a drive has under the volume's name is what its move leaves behind there."""
    moving = known.moving
    same = known.incarnation == found.incarnation or not found.incarnation
    return moving is not None and moving.phase is MovePhase.FLIPPED and moving.drive == fsuuid and same


def load(books: Books) -> None:
    """Reserve space on the other drives of moves; the caller sums up. A drive that is gone needs none."""
    for name in books.moves:
        record = books.volumes[name].record
        drive = books.drives.get(record.moving.drive) if record.moving is not None else None
        if drive is not None:
            drive.guests = {**drive.guests, name: record.capacity}
            drive.allocated += record.capacity
