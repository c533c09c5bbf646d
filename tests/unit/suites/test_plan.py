"""Which suites run side by side, and how long all of it takes."""

import pytest

from suites.plan import FULL, Load, startable, time_left


def names(loads: list[Load]) -> list[str]:
    return [load.name for load in loads]


def test_suites_start_as_long_as_processors_are_left():
    waiting = [Load("a", 10, cores=FULL), Load("b", 10, cores=FULL), Load("c", 10, cores=0.1)]

    assert names(startable(waiting, [], [], cores=2)) == ["a", "b"]


def test_suites_side_by_side_may_ask_for_a_little_more_than_there_is_as_none_runs_without_waiting():
    assert names(startable([Load("a", 10, cores=1.2), Load("b", 10, cores=0.9)], [], [], cores=2)) == ["a", "b"]
    assert names(startable([Load("a", 10, cores=1.2), Load("b", 10, cores=2.0)], [], [], cores=2)) == ["a"]


def test_a_small_suite_passes_one_that_is_too_large_for_what_is_left():
    running, waiting = [Load("a", 10, cores=1.2)], [Load("b", 10, cores=1.5), Load("c", 10, cores=0.5)]

    assert names(startable(waiting, running, [], cores=2)) == ["c"]


def test_a_small_suite_stays_behind_a_long_one_until_that_has_begun_while_there_is_something_else_to_do():
    long, small, running = (
        Load("long", 90, cores=1.0, needs=("step",)),
        Load("s", 9, cores=0.5, behind="long"),
        [Load("r", 9)],
    )

    assert names(startable([long, small], running, [], cores=2)) == []
    assert names(startable([long, small], running, ["step"], cores=2)) == ["long", "s"]
    assert names(startable([small], [*running, long], [], cores=2)) == ["s"]
    assert names(startable([long, small], [], [], cores=2)) == ["s"]


def test_alone_a_suite_runs_on_any_machine():
    assert names(startable([Load("a", 10, cores=3.0), Load("b", 10, cores=0.1)], [], [], cores=1)) == ["a"]


def test_a_suite_waits_for_all_that_it_needs():
    waiting = [Load("a", 10, needs=("kernel", "programs"))]

    assert names(startable(waiting, [], ["kernel"], cores=2)) == []
    assert names(startable(waiting, [], ["kernel", "programs"], cores=2)) == ["a"]


def test_what_runs_side_by_side_takes_as_long_as_the_longest():
    waiting = [Load("a", 30, cores=1), Load("b", 70, cores=1)]

    assert time_left(waiting, [], [], [], cores=2) == 70
    assert time_left(waiting, [], [], [], cores=1) == 100


def test_suites_that_ask_for_more_than_there_is_take_longer_by_as_much():
    waiting = [Load("a", 30, cores=1.3), Load("b", 60, cores=1.3)]

    assert time_left(waiting, [], [], [], cores=2) == pytest.approx(30 * 1.3 + 30)


def test_a_suite_that_waits_for_steps_begins_when_they_have_ended():
    waiting, steps = [Load("a", 30, needs=("two",)), Load("b", 5)], [Load("one", 10), Load("two", 20)]

    assert time_left(waiting, [], steps, [], cores=2) == 60


def test_suites_that_need_a_step_that_failed_take_no_time():
    assert time_left([Load("a", 30, needs=("gone",))], [Load("b", 5)], [], [], cores=2) == 5


def test_equal_ends_are_one():
    waiting = [Load("a", 0.1, cores=1), Load("b", 0.1, cores=1), Load("c", 0.2, cores=1)]

    assert time_left(waiting, [], [], [], cores=2) == pytest.approx(0.3)
