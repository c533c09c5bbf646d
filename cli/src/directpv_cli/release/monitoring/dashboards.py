"""Grafana's dashboards, as files that it imports."""

import json
from collections.abc import Sequence
from typing import Any, Final

from directpv_cli.release.monitoring.boards import BOARDS, Board, Panel, Variable

Object = dict[str, Any]

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_PER_ROW: Final = 2
_WIDTH, _HEIGHT = 24, 8
"""Grafana's grid: 24 columns."""
_HIDDEN: Final = ("Time", "Value", "__name__", "instance", "job", "container", "endpoint", "namespace", "pod")
"""Columns of tables that say nothing of what is shown: how Prometheus came to it."""
_LINKED: Final = {
    "drive": "/d/directpv-drive?var-node=${__data.fields.node}&var-drive=${__value.raw}",
    "volume": "/d/directpv-volume?var-node=${__data.fields.node}&var-volume=${__value.raw}",
}
"""Columns of tables, and where a click on them leads."""


def rendered(board: Board) -> Object:
    """Return what Grafana imports."""
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["directpv"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [_others()],
        "templating": {"list": [_source(), *map(_variable, board.variables)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _source() -> Object:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _others() -> Object:
    """Return the menu of all our dashboards; what is chosen here is chosen there."""
    shown = {"asDropdown": True, "includeVars": True, "keepTime": True}
    return {"type": "dashboards", "tags": ["directpv"], "title": "DirectPV", **shown}


def _variable(variable: Variable) -> Object:
    every = {"text": "All", "value": "$__all"}
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": variable.values,
        "query": {"query": variable.values, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        **({"hide": 2, "multi": True, "includeAll": True, "current": every} if variable.hidden else {}),
    }


def _panel(number: int, panel: Panel) -> Object:
    width = _WIDTH // _PER_ROW
    place = {"h": _HEIGHT, "w": width, "x": number % _PER_ROW * width, "y": number // _PER_ROW * _HEIGHT}
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "noValue": panel.empty}, "overrides": _links(panel)},
        "targets": _targets(panel.queries, table=panel.kind == "table"),
        **({"transformations": [_HIDES]} if panel.kind == "table" else {}),
    }


_HIDES: Final = {"id": "organize", "options": {"excludeByName": dict.fromkeys(_HIDDEN, True)}}


def _links(panel: Panel) -> list[Object]:
    if panel.kind != "table":
        return []
    return [
        {
            "matcher": {"id": "byName", "options": column},
            "properties": [{"id": "links", "value": [{"title": f"its {column}", "url": url}]}],
        }
        for column, url in _LINKED.items()
    ]


def _targets(queries: Sequence[tuple[str, str]], *, table: bool) -> list[Object]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            **({"format": "table", "instant": True} if table else {}),
        }
        for number, (query, legend) in enumerate(queries)
    ]


def files() -> dict[str, str]:
    """Return files below ``manifests/monitoring/dashboards``."""
    return {f"{board.uid}.json": json.dumps(rendered(board), indent=1) + "\n" for board in BOARDS}
