"""Who takes more of the bus than his role may is found by what servers count, and nobody else is."""

from typing import Any

import pytest

from directpv_common.access.limits import TABLE
from directpv_common.access.roles import Role
from directpv_common.bus.events import BUFFER
from directpv_controller.admission.core.excess import LEAST_SECONDS, Bans, Excess, role_of, who
from directpv_controller.admission.core.links import FORMER_NODE, Link, node_user

LEAF, STRANGER = TABLE[Role.LEAF], TABLE[Role.STRANGER]


def link(
    number: int = 1, user: str = node_user("n1", "UKEY"), at: float = 0, address: str = "10.0.0.1", **said: Any
) -> Link:
    return Link("S", number, user, "Leafnode", "n1", address, 0.0, at, **said)


def test_a_node_that_says_more_on_the_average_than_it_may_is_found_and_says_how_much() -> None:
    excess, many = Excess(), LEAF.messages * 10
    assert excess.found([link(at=10, messages=many - 10)]) == {}
    (why,) = excess.found([link(at=20, messages=2 * many + 10)]).values()
    assert f"of at most {LEAF.messages}" in why


def test_bytes_count_as_well_as_messages() -> None:
    assert Excess().found([link(at=10, messages=1, bytes=LEAF.bytes * 10)]) == {}
    assert len(Excess().found([link(at=10, messages=1, bytes=LEAF.bytes * 10 + 11)])) == 1


def test_what_was_said_long_ago_does_not_make_up_for_what_is_said_now() -> None:
    excess = Excess()
    assert excess.found([link(at=1e6)]) == {}
    assert len(excess.found([link(at=1e6 + 10, messages=LEAF.messages * 11)])) == 1


def test_a_node_that_comes_back_with_as_many_events_as_can_wait_may_tell_all_of_them_twice() -> None:
    assert Excess().found([link(at=0.5, messages=2 * BUFFER + 100)]) == {}
    assert Excess().found([link(at=5, messages=2 * BUFFER + 100)]) == {}


def test_a_burst_that_is_soon_over_harms_nobody() -> None:
    excess, burst = Excess(), int(LEAF.messages * LEAST_SECONDS)
    assert excess.found([link(at=0.1, messages=burst)]) == {}
    assert excess.found([link(at=0.2, messages=burst)]) == {}


def test_looks_that_follow_each_other_quickly_do_not_make_a_flood_small() -> None:
    excess = Excess()
    found: list[Link] = []
    for tenth in range(1, 100):
        found += excess.found([link(at=tenth / 10, messages=int(LEAF.messages * 2 * tenth / 10))])
    assert found


def test_of_too_many_from_one_address_those_go_that_came_last() -> None:
    links = [link(n, "stranger", at=60, address="10.0.0.9") for n in range(STRANGER.connections + 2)]
    links = [each._replace(started=float(each.number)) for each in links]
    others = [link(n + 10_000, "stranger", at=60, address="10.0.0.8") for n in range(STRANGER.connections)]
    found = Excess().found([*reversed(links), *others])
    assert {each.number for each in found} == {STRANGER.connections, STRANGER.connections + 1}


@pytest.mark.parametrize("user", ["UCONTROLLERSKEY", "", "somebody else"])
def test_whom_servers_know_by_themselves_is_not_looked_at(user: str) -> None:
    assert role_of(user) is None
    assert Excess().found([link(user=user, at=10, messages=10**9)]) == {}


def test_a_node_is_known_by_its_key_and_anybody_else_by_his_address() -> None:
    assert who(link()) == "UKEY"
    assert [who(link(user=user)) for user in ("administrator", "stranger", FORMER_NODE)] == ["10.0.0.1"] * 3
    assert role_of(FORMER_NODE) is Role.LEAF


def test_who_was_cut_off_waits_his_time_and_no_longer() -> None:
    bans = Bans()
    bans.put("a", 60, now=0)
    bans.put("a", 50, now=1)
    assert bans.left("a", 10) == 50
    assert bans.left("b", 10) == 0
    assert bans.left("a", 60) == 0
