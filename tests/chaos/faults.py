"""Breaks things for a while, and mends them: each fault by who knows how."""

from collections.abc import Mapping

from chaos.central_faults import CentralFaults
from chaos.drive_faults import DriveFaults
from chaos.kinds import Action
from chaos.model import History, Volume
from chaos.node_faults import NodeFaults
from chaos.operations import Operations
from chaos.people import People
from chaos.world import World


class Faults:
    """What can be done to a world; each ends what it began, also when it is cancelled."""

    def __init__(self, world: World, history: History, operations: Operations, volumes: Mapping[str, Volume]) -> None:
        self._ways = {
            **DriveFaults(world, history).ways,
            **People(world, history, operations, volumes).ways,
            **NodeFaults(world, history, operations, volumes).ways,
            **CentralFaults(world, history, volumes).ways,
        }

    async def run(self, action: Action) -> str:
        """Let it happen, and return in words what came of it.

        Raises:
            Occupied: An earlier fault takes longer than planned; nothing was done.
            Bug: What must never be was seen.
            Exception: Whatever breaking or mending raised.
        """
        return await self._ways[action.kind](action)
