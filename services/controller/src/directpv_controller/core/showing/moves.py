"""How far a move is, from what the registry decided and what the node said last."""

from typing import Final

from directpv_common.protocol.messages import CopyStatus, MovePhase, MoveState, MoveStatus
from directpv_controller.core.placing.model import Volume
from directpv_controller.core.reserving.ledger import Ledger

_OF_PHASE: Final = {MovePhase.FLIPPED: MoveState.FLIPPED, MovePhase.CANCELLED: MoveState.CANCELLING}


def move_status(ledger: Ledger, volume: Volume, told: CopyStatus, held_up: int = 0) -> MoveStatus:
    """Return how far the move of ``volume`` is; ``NONE`` if there is none.

    Args:
        ledger: The ledger.
        volume: A volume of it.
        told: What its node said last.
        held_up: Seconds for which its end was refused.
    """
    record, moving = volume.record, volume.record.moving
    node = ledger.drives[record.fsuuid].record.node
    if moving is None:
        return MoveStatus(name=record.name, source=record.fsuuid, node=node, state=MoveState.NONE)
    flipped = moving.phase is MovePhase.FLIPPED
    return MoveStatus(
        name=record.name,
        source=moving.drive if flipped else record.fsuuid,
        target=record.fsuuid if flipped else moving.drive,
        node=node,
        state=_OF_PHASE.get(moving.phase, told.state),
        passes=told.passes,
        done=told.done,
        total=told.total,
        rate=told.rate,
        message=told.message,
        held_up=held_up,
    )
