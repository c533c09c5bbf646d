"""What the page about monitoring tells people to configure fits what there is."""

import re
from typing import Any

import pytest
import yaml

from directpv_cli.release.monitoring.alerts import ALERTS, CRITICAL, WARNING
from directpv_cli.release.monitoring.rules import ROUTING
from support.prometheus import parsed
from unit.documents.commands import TOP
from unit.nodeagent.serving.test_metrics import text

PAGE = (TOP / "docs/monitoring.md").read_text()


def block(first: str) -> Any:
    """Return the example that begins with that line."""
    lines = PAGE[PAGE.index(f"    {first}\n") :].splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("    "))
    return yaml.safe_load("\n".join(lines[:end]))


def test_what_is_dropped_is_all_of_volumes_but_why_one_is_not_well() -> None:
    (rule,) = block("metricRelabelings:")["metricRelabelings"]

    def left(exposed: str) -> int:
        return sum(re.fullmatch(rule["regex"], name) is None for name, _ in parsed(exposed))

    assert left(text(1, 5)) == left(text(1, 0)) == len(parsed(text(1, 0)))
    assert re.fullmatch(rule["regex"], "directpv_volume_condition") is None
    lost = {each.name for each in ALERTS if any(map(re.compile(rule["regex"]).fullmatch, _metrics(each.expr)))}
    told = re.search(r"loses their dashboard and the alerts (\w+) and\s+(\w+)\.", PAGE)
    assert told is not None
    assert lost == set(told.groups())


def _metrics(expr: str) -> list[str]:
    return re.findall(r"\bdirectpv_\w+", expr)


@pytest.mark.parametrize("matcher", sorted(set(re.findall(r"'(\w+!?=[^']*)'", PAGE))))
def test_labels_by_which_alerts_are_sent_are_those_that_they_have(matcher: str) -> None:
    label, value = re.fullmatch(r'(\w+)!?="(.*)"', matcher).groups()  # type: ignore[union-attr]
    assert (label, value) in {*ROUTING.items(), ("severity", CRITICAL), ("severity", WARNING), ("drive", "")}


def test_a_critical_alert_of_a_drive_silences_warnings_of_that_drive_and_of_nothing_else() -> None:
    """Without a drive all would have the same one: none."""
    (rule,) = block("route:")["inhibit_rules"]
    assert rule["equal"] == ["drive"]
    assert 'drive!=""' in rule["source_matchers"]
    assert [each.name for each in ALERTS if each.severity == CRITICAL and "group_left (node, device" in each.expr]
