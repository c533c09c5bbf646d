"""When a disk counts as slow, and when as well again."""

from dataclasses import replace

from directpv_nodeagent.devices.core.io_stats import IoStats
from directpv_nodeagent.drives.core.slowness import STUCK_SECONDS, Pace, judged

NONE = IoStats(0, 0, 0, 0, 0, 0, 0, 0, 0)


def after(*samples: tuple[float, IoStats | None]) -> Pace:
    pace = Pace()
    for now, stats in samples:
        pace = judged(pace, stats, now)
    return pace


def took(requests: int, seconds: float) -> IoStats:
    return replace(NONE, reads=requests, read_ms=int(requests * seconds * 1000))


def test_a_disk_whose_requests_take_seconds_is_slow() -> None:
    assert "1.5 s" in after((0, NONE), (15, took(10, 1.5))).slow


def test_a_disk_whose_requests_take_milliseconds_is_not() -> None:
    assert after((0, NONE), (15, took(10_000, 0.02))).slow == ""


def test_a_disk_that_lets_nothing_end_is_slow_after_a_while() -> None:
    waiting = replace(NONE, in_flight=2)
    assert after((0, NONE), (1, waiting)).slow == ""
    assert "2 requests do not end" in after((0, NONE), (1, waiting), (1 + STUCK_SECONDS, waiting)).slow


def test_a_slow_disk_that_rests_stays_slow() -> None:
    slow = took(10, 2)
    assert after((0, NONE), (15, slow), (30, slow)).slow


def test_a_slow_disk_that_answers_again_is_well() -> None:
    slow = took(10, 2)
    fast = replace(slow, reads=20, read_ms=slow.read_ms + 100)
    assert after((0, NONE), (15, slow), (30, fast)).slow == ""


def test_a_slow_disk_that_is_a_little_faster_does_not_swing() -> None:
    slow = took(10, 2)
    better = replace(slow, reads=20, read_ms=slow.read_ms + 7_000)
    assert after((0, NONE), (15, slow), (30, better)).slow


def test_counters_that_begin_anew_say_nothing() -> None:
    assert after((0, took(100, 0.01)), (15, took(1, 5))).slow == ""


def test_a_disk_that_is_gone_is_not_slow() -> None:
    assert after((0, NONE), (15, took(10, 2)), (30, None)).slow == ""
