"""Which drives are on which disks, as the nodes see them now: the registry may know another place, or none."""

from collections.abc import Iterable, Mapping
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_nodes
from directpv_cli.recovering.core.drives import Found
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import task_group
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DirectPVError

ASK_SECONDS: Final = 60.0
WHERE_SECONDS: Final = 10.0
"""For who asks about one drive: a node that takes longer is left out."""


async def look(
    bus: Bus, nodes: Iterable[m.NodeSummary], within: float = ASK_SECONDS
) -> tuple[list[Found], dict[str, str]]:
    """Ask every node that is heard for the drives on its devices, side by side; and why of some that is not known."""
    found: list[Found] = []
    silent: dict[str, str] = {}

    async def ask(node: str) -> None:
        try:
            reply = await bus.call(Node.DRIVE_SEEN, m.ListSeenDrives(), node=node, within=within, patient=False)
            found.extend(Found(node, drive) for drive in reply.drives)
        except DirectPVError as error:
            silent[node] = f"cannot tell of its disks ({error.message}); start its agent, or upgrade it"

    async with task_group() as group:
        for node in nodes:
            if node.online:
                group.create_task(ask(node.info.name))
            else:
                silent[node.info.name] = "is not heard, so its disks were not looked at"
    return sorted(found, key=lambda each: (each.node, each.drive.device)), silent


async def whereabouts(bus: Bus, homes: Mapping[str, str]) -> dict[str, str]:
    """Return where the disks of drives are that their nodes do not find, in words, with what brings them back.

    Args:
        bus: Asks all nodes, unless there are no such drives.
        homes: The node of each drive, by its id.
    """
    if not homes:
        return {}
    found, _ = await look(bus, await all_nodes(bus), WHERE_SECONDS)
    strange = [each for each in found if homes.get(each.drive.fsuuid, each.node) != each.node]
    return {each.drive.fsuuid: _words(each) for each in strange}


def _words(found: Found) -> str:
    return (
        f"its disk is in node {found.node} ({found.drive.device}), with {found.drive.count} of its volumes; to serve "
        f"them there: kubectl directpv recover {found.title}"
    )
