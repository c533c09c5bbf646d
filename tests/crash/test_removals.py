"""Whoever is killed while drives are given up, and whenever: the same command again ends in the same state."""

import asyncio
import random
from pathlib import Path

import pytest

from stack.running import drives, plugin
from support.cluster import cluster, eventually
from support.mounts import own_mounts  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(300)

KILLED = ("controller-1", "nodeagent-node-1")
LATEST = 1.5
"""Seconds after which the last kill comes; what is asked takes about as long."""


@pytest.mark.parametrize(
    ("killed", "wipe"),
    [
        (KILLED[0], "none"),
        (KILLED[1], "zero"),
        pytest.param(KILLED[0], "zero", marks=pytest.mark.long),
        pytest.param(KILLED[1], "none", marks=pytest.mark.long),
    ],
)
async def test_a_removal_that_is_killed_at_any_moment_is_ended_by_a_repeat(
    killed: str, wipe: str, tmp_path: Path
) -> None:
    moments = [random.Random(f"{killed} {wipe} {number}").uniform(0, LATEST) for number in range(4)]
    with cluster(nodes=1, drives=len(moments)) as running:
        await running.initialise()
        for fsuuid, moment in zip(sorted(await drives(running)), moments, strict=True):
            asked = asyncio.create_task(plugin(running, "remove", fsuuid, "--wipe", wipe, "--timeout", "20s"))
            await asyncio.sleep(moment)
            running.kill(killed)
            running.start(killed)
            await asked

            async def gone(fsuuid: str = fsuuid) -> None:
                await plugin(running, "remove", fsuuid, "--wipe", wipe, "--timeout", "20s")
                assert fsuuid not in await drives(running)

            await eventually(gone, f"{fsuuid} is gone")
        assert await drives(running) == {}

        async def offered() -> str:
            found = await plugin(running, "discover", "--all", "--output-file", str(tmp_path / "drives.yaml"))
            assert "Used by DirectPV" not in found.stdout
            assert found.stdout.count("was removed from DirectPV") == (len(moments) if wipe == "none" else 0), (
                found.stdout
            )
            return found.stdout

        await eventually(offered, "every device is offered again")
