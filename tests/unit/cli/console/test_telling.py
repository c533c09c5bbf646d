"""Events as rows: the newest first, by span, type and words."""

from datetime import UTC, datetime

from directpv_cli.console.core.telling import SHOWN, Wanted, about, kinds, newest, row
from directpv_cli.reading.event_filter import EventFilter
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def event(
    kind: str = "drive.lost", minute: int = 59, hour: int = 11, subject: str = "d1", **data: object
) -> CloudEvent:
    time = f"2026-11-30T{hour:02}:{minute:02}:00Z"
    data = {"node": "n1", **data}
    return CloudEvent(id="1", source="/directpv/n1", type=TYPE_PREFIX + kind, subject=subject, time=time, data=data)


def test_the_newest_events_of_the_span_come_first() -> None:
    told = [event(minute=1, hour=3), event(minute=10), event("drive.ready", minute=20)]
    assert [each.type for each in newest(told, Wanted(), NOW)] == ["drive.ready", "drive.lost"]
    assert len(newest(told, Wanted("1d"), NOW)) == 3
    assert newest(told, Wanted("15m"), NOW) == []
    assert len(newest([event()] * (SHOWN + 5), Wanted(), NOW)) == SHOWN


def test_events_are_chosen_by_type_and_words() -> None:
    told = [event(cause="cable"), event("volume.created", subject="pvc-1")]
    assert [each.subject for each in newest(told, Wanted(kind="volume"), NOW)] == ["pvc-1"]
    assert [each.subject for each in newest(told, Wanted(kind="drive.*"), NOW)] == ["d1"]
    assert [each.subject for each in newest(told, Wanted(text="CABLE n1"), NOW)] == ["d1"]
    assert newest(told, Wanted(text="cable pvc-1"), NOW) == []


def test_a_row_says_what_the_kind_means_and_how_bad_it_is() -> None:
    assert row(event()).tone == "bad"
    assert row(event("volume.move-failed")).tone == "bad"
    assert row(event("drive.warning")).tone == "fair"
    assert row(event("drive.warning-ended")).tone == "fair"
    assert row(event("drive.ready")).tone == "none"
    assert row(event("drive.of-a-later-version")).meaning == ""
    assert "no device of its node carries the drive" in row(event()).meaning


def test_an_address_that_cannot_be_understood_counts_as_not_given() -> None:
    assert Wanted.of({"since": "9y", "type": " drive ", "q": "x" * 900}) == Wanted("1h", "drive", "x" * 100)


def test_an_event_whose_time_cannot_be_read_is_old_and_ends_nothing() -> None:
    told = [CloudEvent(id="1", source="x", type="x", subject="x", time="yesterday"), event()]
    assert [each.type for each in newest(told, Wanted("7d"), NOW)] == ["drive.lost"]


def test_what_happened_to_one_thing_is_found_oldest_first() -> None:
    told = [event(minute=1), event(subject="d2"), event("drive.ready", minute=2)]
    found = about(told, EventFilter(drives=frozenset({"d1"})), 5)
    assert [each.time[14:16] for each in found] == ["01", "02"]
    assert len(about(told, EventFilter(), 2)) == 2
    assert {"drive", "volume", "drive.lost"} <= set(kinds())
