"""When servers of a hub have TLS between each other: as soon as none of the version before is there."""

from directpv_common.bus.former_servers import ABSENT_SECONDS, LOOK_SECONDS, Patience, Seen, others_of

NAMES = [f"nats-{index}.h.svc:4222" for index in range(3)]


def test_a_server_looks_at_the_others_and_not_at_itself() -> None:
    assert others_of(NAMES, ("nats.svc", "nats-1.h.svc")) == [NAMES[0], NAMES[2]]


def test_it_is_time_when_all_others_greet_and_none_is_of_the_version_before() -> None:
    patience = Patience(2, 0.0)
    assert not patience.over(Seen(former=True, answered=2), 1.0)
    assert not patience.over(Seen(former=False, answered=1), 2.0)
    assert not patience.over(Seen(former=False, answered=0), 3.0)
    assert patience.over(Seen(former=False, answered=2), 4.0)


def test_a_server_that_never_comes_is_waited_for_only_as_long_as_one_of_the_version_before_was_there_lately() -> None:
    patience = Patience(2, 0.0)
    assert not patience.over(Seen(former=True, answered=1), 1000.0)
    assert not patience.over(Seen(former=False, answered=1), 1000.0 + ABSENT_SECONDS)
    assert patience.over(Seen(former=False, answered=1), 1000.0 + ABSENT_SECONDS + LOOK_SECONDS)
