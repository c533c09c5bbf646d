"""Who has something done too often waits, and others do not."""

from directpv_common.calls.pace import REMEMBERED, Pace


def test_who_comes_too_often_waits_and_others_do_not() -> None:
    pace = Pace(at_once=3, each_second=2)
    assert [pace.allows("a", 0) for _ in range(5)] == [True, True, True, False, False]
    assert pace.allows("b", 0)
    assert [pace.allows("a", 0.5), pace.allows("a", 0.5)] == [True, False]
    assert [pace.allows("a", 100) for _ in range(4)] == [True, True, True, False]


def test_of_many_addresses_the_one_that_was_silent_for_longest_is_forgotten() -> None:
    pace = Pace(at_once=1, each_second=0)
    for number in range(REMEMBERED + 1):
        assert pace.allows(str(number), 0)
    assert pace.allows("0", 0)
    assert not pace.allows(str(REMEMBERED), 0)
