"""Tables of any length: filtered, sorted, and one page of them; the address says which."""

import doctest

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.console.core import attention, bays, picture, telling
from directpv_cli.console.core.table import DRIVES, MOST_PER_PAGE, NODES, VOLUMES, Page, Query, page_of, volumes_of
from unit.cli.console.making import drive, fsuuid, node, volume
from unit.cli.console.making import picture as heard

FLEET = [drive(number, node=f"n{number % 3}") for number in range(1, 21)]
SLOW = m.Condition(type=m.ConditionType.SLOW, message="requests take 4 s", since="")


def drives(**asked: str) -> Page[m.DriveInfo]:
    return page_of(DRIVES, FLEET, Query.of(asked))


def devices(page: Page[m.DriveInfo]) -> list[str]:
    return [each.record.device for each in page.rows]


def test_a_page_has_so_many_rows_and_says_which_and_of_how_many() -> None:
    page = drives(per="8", page="3", sort="drive id")
    assert (page.first, page.last, page.matching, page.total, page.pages) == (17, 20, 20, 20, 3)
    assert devices(page) == ["sdq", "sdr", "sds", "sdt"]


def test_a_page_beyond_the_last_is_the_last_and_an_empty_table_has_one() -> None:
    assert drives(per="8", page="9").query.page == 3
    nothing = drives(q="no such drive", page="4")
    assert (list(nothing.rows), nothing.first, nothing.last, nothing.pages, nothing.query.page) == ([], 0, 0, 1, 1)


def test_every_word_of_a_filter_must_be_found_whatever_its_case() -> None:
    assert devices(drives(q="N1/SDD ready")) == ["sdd"]
    assert devices(drives(q=fsuuid(7))) == ["sdg"]
    assert drives(q="n1 n2").matching == 0
    assert drives(node="n1").matching == 7


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"status": m.DriveStatus.LOST}, "unwell"),
        ({"status": m.DriveStatus.LOST}, "Lost"),
        ({"conditions": (SLOW,)}, "unwell"),
        ({"online": False}, "Offline"),
        ({"online": False}, "unwell"),
        ({"unschedulable": True}, "SchedulingDisabled"),
        ({"labels": {"directpv.min.io/suspend": "true"}}, "Suspended"),
    ],
)
def test_a_drive_is_found_by_each_of_its_states(facts: dict[str, object], state: str) -> None:
    fleet = [drive(1), drive(2, **facts)]
    assert devices(page_of(DRIVES, fleet, Query(state=state))) == ["sdb"]


def test_rows_are_sorted_by_any_column_in_both_directions_and_otherwise_as_the_plugin_does() -> None:
    assert devices(drives(sort="name", per="2")) == ["sda", "sdb"]
    assert devices(drives(sort="name", order="desc", per="2")) == ["sdt", "sds"]
    assert devices(drives(sort="no such column", per="2")) == devices(drives(per="2"))


def test_a_volume_is_found_by_claim_pod_drive_and_state() -> None:
    record = volume(2).record
    fleet = [volume(1), volume(2, abnormal=True, condition="lost")]
    assert [each.record for each in page_of(VOLUMES, fleet, Query(state="unwell")).rows] == [record]
    assert page_of(VOLUMES, fleet, Query(text=fsuuid(1))).matching == 2


@pytest.mark.parametrize(
    ("facts", "online", "found"),
    [
        ({}, True, 0),
        ({"unschedulable": True}, True, 0),
        ({"conditions": (SLOW,)}, True, 1),
        ({"status": m.DriveStatus.LOST}, True, 1),
        ({}, False, 1),
    ],
)
def test_a_node_is_unwell_if_it_or_one_of_its_drives_needs_attention(
    facts: dict[str, object], online: bool, found: int
) -> None:
    seen = heard((drive(1), drive(2, **facts)), nodes=(node(online=online),))
    assert page_of(NODES, bays.racks(seen, {}), Query(state="unwell")).matching == found


def test_volumes_are_sorted_by_how_full_they_are_whatever_their_size() -> None:
    samples = {f"pvc-{n}": m.VolumeMetrics(name=f"pvc-{n}", fsuuid=fsuuid(1), total=10**n, used=n) for n in (3, 1, 2)}
    fleet = [volume(number) for number in (1, 2, 3, 4)]  # the last was not sampled yet
    page = page_of(volumes_of(samples), fleet, Query(sort="used", descending=True))
    assert [each.record.name for each in page.rows] == ["pvc-1", "pvc-2", "pvc-3", "pvc-4"]


@pytest.mark.parametrize(
    "bad", ["-1", "0", "x", "", "1e9", "9" * 50, "\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663"]
)
def test_an_address_that_cannot_be_understood_counts_as_not_given(bad: str) -> None:
    query = Query.of({"page": bad, "per": bad, "order": bad})
    assert (query.page, query.per_page, query.descending) == (1, 50, False)


def test_nobody_asks_for_more_rows_than_a_browser_can_show() -> None:
    assert Query.of({"per": "100000"}).per_page == MOST_PER_PAGE
    assert len(Query.of({"q": "x" * 10_000}).text) == 200


def test_an_address_says_again_what_it_was_read_from() -> None:
    asked = {"q": "a&b=<c>", "state": "Lost", "node": "n1", "sort": "free", "order": "desc", "page": "2", "per": "20"}
    query = Query.of(asked)
    assert query.address() == "?q=a%26b%3D%3Cc%3E&state=Lost&node=n1&sort=free&order=desc&page=2&per=20"
    assert Query().address() == "?"
    assert query.address(page=1, node="") == "?q=a%26b%3D%3Cc%3E&state=Lost&sort=free&order=desc&per=20"


@pytest.mark.parametrize("module", [attention, picture, telling])
def test_examples_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
