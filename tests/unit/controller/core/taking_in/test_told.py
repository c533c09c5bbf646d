"""A finding is told once, again when it changes, and again when it comes back."""

from typing import Any

from directpv_controller.core.taking_in.outcome import Event
from directpv_controller.core.taking_in.told import Told

DRIVE = "drive-1"


def conflict(volume: str = "v1", **facts: Any) -> Event:
    return Event("volume", "conflict", volume, {"drive": DRIVE, "registered": "drive-2", **facts})


def news(told: Told, *events: Event) -> list[Event]:
    return told.news(DRIVE, list(events), {}, whole=True)


def test_what_every_inventory_finds_again_is_told_once() -> None:
    told = Told()

    assert [len(news(told, conflict())) for _ in range(3)] == [1, 0, 0]


def test_what_changes_is_news_and_what_changes_by_itself_is_not() -> None:
    told = Told()
    oversized = Event("volume", "oversized", "v1", {"capacity": 10, "free": 5})

    assert news(told, oversized) == [oversized]
    assert news(told, oversized._replace(data={"capacity": 10, "free": 4})) == []
    assert len(news(told, oversized._replace(data={"capacity": 11, "free": 4}))) == 1


def test_what_ended_and_comes_back_is_told_again() -> None:
    told = Told()
    news(told, conflict())
    news(told)

    assert news(told, conflict()) == [conflict()]


def test_what_was_done_is_always_told() -> None:
    told = Told()
    adopted = Event("volume", "adopted", "v1", {})

    assert [news(told, adopted), news(told, adopted)] == [[adopted], [adopted]]


def test_parts_of_an_inventory_end_nothing_before_the_last_one() -> None:
    told = Told()
    news(told, conflict("v1"), conflict("v2"))
    found: dict[Any, Any] = {}

    assert told.news(DRIVE, [conflict("v1")], found, whole=False) == []
    assert told.news(DRIVE, [conflict("v3")], found, whole=True) == [conflict("v3")]
    assert news(told, conflict("v1"), conflict("v2"), conflict("v3")) == [conflict("v2")]


def test_drives_that_are_gone_are_forgotten() -> None:
    told = Told()
    news(told, conflict())
    told.keep({"another"})

    assert news(told, conflict()) == [conflict()]
