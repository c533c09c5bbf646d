"""What strangers may take of what there is for all of them."""

from directpv_controller.admission.core.shares import REMEMBERED, Pace, Shares


def test_nobody_takes_more_than_his_share_and_all_together_no_more_than_there_is() -> None:
    shares = Shares(for_all=5, for_each=2)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert [shares.take("b"), shares.take("c"), shares.take("d")] == [True, True, True]
    assert not shares.take("e")
    shares.give("a")
    assert shares.take("e")


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
