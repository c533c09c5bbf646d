"""A minute of chaos from a fixed seed, chosen for what it contains: what was acknowledged holds.

``python -m chaos`` runs for longer.
"""

import asyncio
from pathlib import Path

import pytest

from chaos.__main__ import run
from chaos.disk_faults import break_disk
from chaos.kinds import CENTRAL_FAULTS, DRIVE_FAULTS, NODE_FAULTS, Action, Kind, Shape
from chaos.locks import Occupied
from chaos.schedule import schedule
from chaos.world import world
from support.guest import uml
from support.guest.node import AGENT
from vm.test_guests import FREEZE, SPIN

SEED = 1336
SHAPE = Shape(seconds=75)
NOTHING = Shape(seconds=0, nodes=1, drives=1)
PEOPLE = {Kind.SUSPEND, Kind.SUSPEND_DRIVE, Kind.REPAIR}

pytestmark = pytest.mark.timeout(900)


def test_the_minute_has_faults_of_drives_nodes_and_what_there_is_once_and_what_people_do() -> None:
    """Weights that change give the seed another schedule: choose another one then."""
    kinds = {action.kind for action in schedule(SEED, SHAPE)}
    assert PEOPLE | {Kind.FULL, Kind.CLONE, Kind.GROW, Kind.PULL, Kind.POWER, Kind.LOSE_REGISTRY} <= kinds
    assert all(len(kinds & faults.keys()) >= 3 for faults in (DRIVE_FAULTS, NODE_FAULTS, CENTRAL_FAULTS))


@pytest.mark.long
async def test_drives_that_never_had_a_volume_are_in_order(directory: Path) -> None:
    assert await run(SEED, NOTHING, directory, print) == []


@pytest.mark.long
async def test_a_drive_that_has_not_come_back_since_it_was_pulled_cannot_be_filled(directory: Path) -> None:
    """Its dead mount is there until the agent takes it away, and takes nothing."""
    async with world(directory, nodes=1, drives=1) as made:
        (host,) = made.hosts
        await host.node.end(AGENT)
        await host.disks[0].pull()
        await host.disks[0].put_back()
        with pytest.raises(Occupied, match="has not come back"):
            await break_disk(host, Action(0, Kind.FULL, node=0, drive=0))


@pytest.mark.long
async def test_a_run_in_which_a_guest_loses_its_timer_is_told_and_begins_anew(directory: Path) -> None:
    said: list[str] = []
    freezing: list[asyncio.Task[None]] = []

    async def freeze() -> None:
        (guest,) = uml.powered
        await guest.hand.start("busy", "sh", "-c", SPIN)
        await guest.hand.sh(FREEZE)

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("n1: ") and not freezing:
            freezing.append(asyncio.create_task(freeze()))

    assert await run(SEED, NOTHING, directory, say) == []
    assert ["n1 lost its timer" in text for text in said if "begins anew" in text] == [True]
    assert sum(text.startswith(f"seed {SEED}: ") for text in said) == 2


async def test_after_chaos_everything_comes_to_order_and_nothing_acknowledged_is_lost(directory: Path) -> None:
    problems = await run(SEED, SHAPE, directory, print)
    if problems:
        pytest.fail("\n".join((f"seed {SEED}, {SHAPE.seconds:.0f} s", *problems)), pytrace=False)
