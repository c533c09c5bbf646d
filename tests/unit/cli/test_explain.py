"""A controller of a version before this one cannot explain; people are told so, and not that nobody leads."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.looking import explain
from directpv_common.protocol.errors import FailedPrecondition, Unavailable


async def test_a_controller_that_cannot_explain_is_not_said_to_be_away() -> None:
    class Earlier:
        async def call(self, *_: Any, **__: Any) -> None:
            raise Unavailable("nobody answers directpv.v1.ctl.placement.explain")

    with pytest.raises(FailedPrecondition, match="of a version that cannot explain"):
        await explain._placement(Earlier(), m.ExplainPlacement(name="v1"))  # type: ignore[arg-type]
