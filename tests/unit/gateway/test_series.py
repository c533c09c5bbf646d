"""How many series a gateway has: what the documentation says."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from directpv_common.process import own_metrics
from directpv_common.process.traffic import Traffic
from directpv_csi_gateway.adapters.calls import Call, Calls
from support.prometheus import TOP, parsed

DOCUMENT = (TOP / "docs/monitoring.md").read_text()


def test_the_number_of_series_is_what_the_documentation_says(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, traffic = CollectorRegistry(), Traffic()
    monkeypatch.setattr(own_metrics, "TRAFFIC", traffic)
    own_metrics.register_own(registry, "csi-gateway", lambda: True)
    calls = Calls(registry)

    def series() -> int:
        return len(parsed(generate_latest(registry).decode()))

    own = series()
    for method in ("NodeStageVolume", "NodeUnstageVolume"):
        with calls.account(Call(method)):
            pass
    per_method = (series() - own) // 2
    traffic.answered("volume.stage", 0.1)
    per_request = series() - own - 2 * per_method

    told = re.findall(r"\*\*(\d+)\*\* per (?:CSI method|kind of request)", DOCUMENT.replace("\n", " "))
    assert told == [str(per_method), str(per_request)]
    assert own <= 35


def test_nothing_is_exposed_of_when_a_counter_was_made() -> None:
    registry = CollectorRegistry()
    own_metrics.register_own(registry, "csi-gateway", lambda: True)
    with Calls(registry).account(Call("NodeStageVolume")):
        pass

    assert [name for name, _ in parsed(generate_latest(registry).decode()) if name.endswith("_created")] == []
