"""Repairs a drive of a guest's node, as the leader would order it."""

from directpv_common.protocol import api
from directpv_common.protocol.messages import DriveId, OrderRepair, RepairOutcome, RepairStatus
from support.guest.node import Node
from support.node_client import FENCE, eventually


async def repair(node: Node, drive: str, within: float = 60, **flags: bool) -> RepairStatus:
    """Repair a drive, and wait for the outcome."""
    order = OrderRepair(fsuuid=drive, id="r1", fence=FENCE, **flags)
    await node.client.ask(api.Node.DRIVE_REPAIR, order)

    async def ended() -> RepairStatus | None:
        status: RepairStatus = await node.client.ask(api.Node.DRIVE_REPAIR_STATUS, DriveId(fsuuid=drive))
        return status if status.outcome is not RepairOutcome.RUNNING else None

    return await eventually(ended, "the repair ended", within)  # type: ignore[no-any-return]
