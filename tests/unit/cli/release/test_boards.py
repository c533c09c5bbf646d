"""What dashboards ask for can be answered in an installation of thousands of nodes, and is named when it is shown."""

import re

import pytest

from directpv_cli.release.monitoring.boards import BOARDS, FLEET, Board
from directpv_cli.release.monitoring.dashboards import rendered
from directpv_cli.release.monitoring.records import RECORDS

OF_ONE = [board for board in BOARDS if board is not FLEET]
METRIC = re.compile(r"\b(?<!:)(?:directpv|process)_\w+(?:\{[^}]*\})?")
FEW = re.compile("directpv_(controller_|bus_connected|build_info)|process_")
"""Metrics with one series, or a few, per program."""


def queries(board: Board) -> list[tuple[str, str]]:
    return [(panel.title, query) for panel in board.panels for query, _ in panel.queries]


def ids(board: Board) -> str:
    return board.uid


@pytest.mark.parametrize("board", OF_ONE, ids=ids)
def test_a_dashboard_of_one_thing_asks_for_the_series_of_that_alone(board: Board) -> None:
    """A join that chooses among all nodes makes Prometheus read them all."""
    wide = [
        f"{title}: {metric}"
        for title, query in queries(board)
        for metric in METRIC.findall(query)
        if not re.search(r"\$(instance|drive|volume)\b", metric)
    ]
    assert wide == []


def test_the_dashboard_of_the_fleet_asks_for_no_series_of_each_drive_volume_or_node() -> None:
    asked = [query for _, query in queries(FLEET) if query not in RECORDS]
    assert [metric for query in asked for metric in METRIC.findall(query) if not FEW.match(metric)] == []
    per_program = [query for query in asked if re.search("bus_connected|process_", query)]
    assert [query for query in per_program if not re.search(r"\b(sum|max|count) by \(component\)", query)] == []


@pytest.mark.parametrize("board", OF_ONE, ids=ids)
def test_drives_and_volumes_are_offered_of_the_node_that_was_chosen(board: Board) -> None:
    first, *others = board.variables
    assert first.values == "label_values(directpv_drive_info, node)"
    assert [each.name for each in others if "$" not in each.values] == []


@pytest.mark.parametrize("board", BOARDS, ids=ids)
def test_each_panel_has_a_unit_a_name_for_each_line_and_a_word_for_when_there_is_none(board: Board) -> None:
    for panel in rendered(board)["panels"]:
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert [legend for legend in legends if not legend.strip() or legend != legend.strip()] == [], panel["title"]
        assert len(set(legends)) == len(legends), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
