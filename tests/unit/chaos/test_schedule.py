"""The schedule of the chaos: decided by its seed alone, and free of contradictions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.kinds import DRIVE_FAULTS, FILLED_AT_MOST, Action, Kind, Shape
from chaos.schedule import schedule

SHAPE = Shape(seconds=600)
TESTS = Path(__file__).resolve().parents[2]
SEEDS = range(12)


def of(actions: list[Action], *kinds: Kind) -> list[Action]:
    return [action for action in actions if action.kind in kinds]


@pytest.mark.parametrize("salt", ["0", "1", "random"])
def test_a_seed_gives_the_same_schedule_in_every_process(salt: str) -> None:
    script = "from chaos.schedule import *; print(*map(repr, schedule(7, Shape(seconds=600))), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": salt}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert printed.splitlines() == [repr(action) for action in schedule(7, SHAPE)]


def test_another_seed_gives_another_schedule() -> None:
    assert schedule(1, SHAPE) != schedule(2, SHAPE)


@pytest.mark.parametrize("seed", SEEDS)
def test_actions_are_in_order_and_every_window_ends_in_time(seed: int) -> None:
    actions = schedule(seed, SHAPE)
    assert actions == sorted(actions, key=lambda action: action.at)
    assert all(action.at + action.seconds <= SHAPE.seconds for action in actions)


def test_everything_that_can_happen_happens_sooner_or_later() -> None:
    assert {action.kind for seed in SEEDS for action in schedule(seed, SHAPE)} == set(Kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_one_drive_do_not_overlap(seed: int) -> None:
    until: dict[tuple[int, int], float] = {}
    for action in of(schedule(seed, SHAPE), *DRIVE_FAULTS):
        assert action.at >= until.get((action.node, action.drive), 0.0)
        until[action.node, action.drive] = action.at + action.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_no_drive_of_a_node_is_faulty_while_the_node_loses_its_power(seed: int) -> None:
    actions = schedule(seed, SHAPE)
    for cut in of(actions, Kind.POWER):
        for fault in of(actions, *DRIVE_FAULTS):
            if fault.node == cut.node:
                assert fault.at > cut.at + cut.seconds or fault.at + fault.seconds < cut.at


@pytest.mark.parametrize("seed", SEEDS)
def test_volumes_are_used_between_their_creation_and_their_deletion(seed: int) -> None:
    alive: set[str] = set()
    for action in schedule(seed, SHAPE):
        if action.kind is Kind.CREATE:
            assert action.volume not in alive
            alive.add(action.volume)
        elif action.volume:
            assert action.volume in alive
            alive -= {action.volume} if action.kind is Kind.DELETE else set()


@pytest.mark.parametrize("seed", SEEDS)
def test_files_fit_into_their_volumes_and_have_a_name_each(seed: int) -> None:
    actions = schedule(seed, SHAPE)
    sizes = {action.volume: action.amount for action in of(actions, Kind.CREATE)}
    filled = dict.fromkeys(sizes, 0)
    for write in of(actions, Kind.WRITE):
        assert write.amount > 0
        filled[write.volume] += write.amount
    assert all(filled[name] <= size * FILLED_AT_MOST for name, size in sizes.items())
    names = [(write.volume, write.file) for write in of(actions, Kind.WRITE)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_has_one_copy_of_a_drive_at_a_time(seed: int) -> None:
    until: dict[int, float] = {}
    for action in of(schedule(seed, SHAPE), Kind.CLONE):
        assert action.at >= until.get(action.node, 0.0)
        until[action.node] = action.at + action.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_suspended_twice_at_a_time(seed: int) -> None:
    until: dict[tuple[object, ...], float] = {}
    for action in of(schedule(seed, SHAPE), Kind.SUSPEND, Kind.SUSPEND_DRIVE):
        what = (action.volume, action.node, action.drive)
        assert action.at >= until.get(what, 0.0)
        until[what] = action.at + action.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_registry_is_lost_while_no_leader_is_killed_or_frozen(seed: int) -> None:
    kinds = (Kind.LOSE_REGISTRY, Kind.KILL_LEADER, Kind.FREEZE_LEADER)
    until = 0.0
    for action in of(schedule(seed, SHAPE), *kinds):
        assert action.at >= until
        until = action.at + action.seconds
