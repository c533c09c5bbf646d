"""A minute of chaos from a fixed seed, chosen for what it contains: what was acknowledged holds.

``python -m chaos`` runs for longer.
"""

from pathlib import Path

import pytest

from chaos.__main__ import run
from chaos.kinds import Shape

SHAPE = Shape(seconds=75)

pytestmark = pytest.mark.timeout(420)


@pytest.mark.parametrize("seed", [1336])
async def test_after_chaos_everything_comes_to_order_and_nothing_acknowledged_is_lost(
    seed: int, directory: Path
) -> None:
    problems = await run(seed, SHAPE, directory, print)
    assert problems == [], f"seed {seed}, {SHAPE.seconds:.0f} s"
