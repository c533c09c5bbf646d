"""PrometheusRule, PodMonitors and the pages of alerts, as text."""

from typing import Any, Final

import yaml

from directpv_cli.install.objects.base import NAMESPACE, metadata
from directpv_cli.release.monitoring.alerts import ALERTS, Alert
from directpv_cli.release.monitoring.records import RECORDS
from directpv_common.protocol.names import CONTROLLER_POD, NODE_POD, SELECTOR

PAGES: Final = "docs/alerts"
_API: Final = "monitoring.coreos.com/v1"
_NODE_PORTS: Final = ("metrics", "gateway")
_CONTROLLER_PORTS: Final = ("metrics", "gateway")

ROUTING: Final = {"app": "directpv"}
"""Labels of all alerts, by which people send them to where they belong: some have none of a series."""

Object = dict[str, Any]


def rule(alert: Alert) -> Object:
    """Return one rule of Prometheus."""
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity, **ROUTING},
        "annotations": {
            "summary": alert.summary,
            "description": f"{alert.cause} {alert.effect}",
            "advice": alert.advice,
            "runbook_url": f"{PAGES}/{alert.name}.md",
        },
    }


def prometheus_rule() -> Object:
    """Return all rules, as the Prometheus operator takes them; ``spec`` alone is a rule file of Prometheus."""
    return {
        "apiVersion": _API,
        "kind": "PrometheusRule",
        "metadata": metadata("directpv"),
        "spec": {
            "groups": [
                {"name": "directpv", "rules": [rule(alert) for alert in ALERTS]},
                {"name": "directpv-fleet", "rules": [{"record": name, "expr": expr} for name, expr in RECORDS.items()]},
            ]
        },
    }


def pod_monitors() -> list[Object]:
    """Return what Prometheus scrapes: agents, gateways and controllers, which have no Services of their own."""
    return [
        _monitor("directpv-node", NODE_POD, _NODE_PORTS),
        _monitor("directpv-controller", CONTROLLER_POD, _CONTROLLER_PORTS),
    ]


def _monitor(name: str, pods: str, ports: tuple[str, ...]) -> Object:
    return {
        "apiVersion": _API,
        "kind": "PodMonitor",
        "metadata": metadata(name),
        "spec": {
            "namespaceSelector": {"matchNames": [NAMESPACE]},
            "selector": {"matchLabels": {SELECTOR: pods}},
            "podMetricsEndpoints": [{"port": port, "path": "/metrics", "interval": "30s"} for port in ports],
        },
    }


def page(alert: Alert) -> str:
    """Return the page of an alert."""
    return (
        f"# {alert.name}\n\nSeverity: {alert.severity}, after {alert.lasts}\n\n## Cause\n\n{alert.cause}\n\n"
        f"## Effect\n\n{alert.effect}\n\n## What to do\n\n{alert.advice[0].upper()}{alert.advice[1:]}.\n\n"
        f"## Expression\n\n    {alert.expr}\n"
    )


def to_yaml(*objects: Object) -> str:
    """Return a stream of documents."""
    return yaml.safe_dump_all(objects, sort_keys=False, width=1_000, allow_unicode=True)


def manifests() -> dict[str, str]:
    """Return files below ``manifests/monitoring``."""
    return {"rules.yaml": to_yaml(prometheus_rule()), "pod-monitors.yaml": to_yaml(*pod_monitors())}


def pages() -> dict[str, str]:
    """Return files below :data:`PAGES`."""
    return {"index.md": _index(), **{f"{alert.name}.md": page(alert) for alert in ALERTS}}


def _index() -> str:
    rows = (f"| [{each.name}]({each.name}.md) | {each.severity} | {each.cause} |" for each in ALERTS)
    return "\n".join(["# Alerts", "", "| alert | severity | cause |", "|---|---|---|", *rows, ""])
