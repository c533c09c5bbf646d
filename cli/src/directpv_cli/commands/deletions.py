"""What is still to be done about volumes whose deletion was acknowledged: their data may go later."""

from collections.abc import Collection

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_nodes, all_volumes
from directpv_common.bus.bus import Bus


async def still_there(bus: Bus, names: Collection[str]) -> dict[str, str]:
    """Return of each volume of ``names`` that was deleted, and whose data is not gone, what will become of it."""
    if not names:
        return {}
    asked = m.ListVolumes(names=tuple(names), statuses=(m.VolumeStatus.DELETING,))
    left = await all_volumes(bus, asked, required=False)
    online = {node.info.name: node.online for node in await all_nodes(bus)} if left else {}
    return {info.record.name: outlook(info, online=online.get(info.node, False)) for info in left}


def outlook(info: m.VolumeInfo, *, online: bool) -> str:
    """Return in words when the data of a volume that was deleted goes."""
    if not online:
        return f"will be deleted when node {info.node} is back"
    if not info.device:
        return f"will be deleted when its drive {info.record.fsuuid} on node {info.node} is back"
    return f"will be deleted as soon as node {info.node} can do it"
