"""What a rotation of the bus's secret does next, wherever it was left; and what an installation keeps of it."""

from typing import Any

import pytest

from directpv_cli.install.applying import bus_secret
from directpv_cli.install.applying.bus_secret import KEY, TRUST_HASH, kept
from directpv_cli.install.applying.rotation import Stage, next_step
from directpv_common.access.installation import ALSO
from directpv_common.protocol.errors import FailedPrecondition

FIRST, SECOND = "f" * 64, "s" * 64


def test_from_one_secret_to_another_each_step_trusts_what_the_one_before_used() -> None:
    data, stage, seen = {KEY: FIRST}, "", []
    while (step := next_step(stage, data, SECOND)) is not None:
        changed = {**data, **step.data}
        data, stage = {key: value for key, value in changed.items() if value is not None}, step.stage.value
        seen.append((stage, data.get(KEY), data.get(ALSO)))
    assert seen == [("trusting", FIRST, SECOND), ("using", SECOND, FIRST), ("ending", SECOND, None)]


@pytest.mark.parametrize(
    ("stage", "data"),
    [("", {KEY: FIRST, ALSO: SECOND}), (Stage.TRUSTING.value, {KEY: FIRST}), ("of somebody", {KEY: FIRST})],
)
def test_what_this_command_did_not_leave_is_not_gone_on_with(stage: str, data: dict[str, str]) -> None:
    with pytest.raises(FailedPrecondition, match="annotat"):
        next_step(stage, data, SECOND)


def test_nodes_are_not_made_anew_by_an_installation_after_a_rotation() -> None:
    item: dict[str, Any] = {"kind": "DaemonSet", "spec": {"template": {"metadata": {"annotations": {"a": "1"}}}}}
    live = bus_secret.annotated(item, TRUST_HASH, "x")
    assert kept(item, live) == live
    assert kept(item, item) == item
    assert kept(item, None) == item
    assert item["spec"]["template"]["metadata"]["annotations"] == {"a": "1"}
