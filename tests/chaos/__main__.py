"""``python -m chaos --seed N --minutes M``: chaos over several guests; the same seed gives the same schedule."""

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from chaos.kinds import Action, Shape
from chaos.runner import Runner
from chaos.schedule import schedule
from chaos.verdict import Verdict
from chaos.world import world
from support.guest import network
from support.guest.pulse import TimerLost

RUNS: Final = 2
"""How often a run is begun whose guests die by a fault of the testbed."""


async def run(seed: int, shape: Shape, directory: Path, say: Callable[[str], None]) -> list[str]:
    """Let a schedule happen to a new world, and return what is wrong afterwards; empty when all is well.

    The calling process must be in a network of its own (:func:`support.guest.network.enter`). A run in which a guest
    dies by a fault of the testbed shows nothing: it is told, and begins anew.

    Raises:
        TimerLost: That happened each time.
    """
    for left in reversed(range(RUNS)):
        place = directory / f"run-{RUNS - left}"
        place.mkdir()
        try:
            return await _run(seed, shape, place, say)
        except TimerLost as fault:
            if not left:
                raise
            say(f"{fault}; the run begins anew")
    raise AssertionError("not reached")


async def _run(seed: int, shape: Shape, directory: Path, say: Callable[[str], None]) -> list[str]:
    actions = schedule(seed, shape)
    say(f"seed {seed}: {shape.seconds:.0f} s, {shape.nodes} nodes with {shape.drives} drives, {len(actions)} actions")
    async with world(directory, nodes=shape.nodes, drives=shape.drives) as made:
        for host in made.hosts:
            say(f"{host.name}: {', '.join(host.drives)}")
        runner = Runner(made, seed, say)
        await made.watched(_judged(runner, actions))
    _report(runner, say)
    return runner.problems


async def _judged(runner: Runner, actions: list[Action]) -> None:
    try:
        await runner.run(actions)
        await Verdict(runner).judge()
    except BaseException:
        await runner.world.write_logs()
        raise
    if runner.problems:
        await runner.world.write_logs()
        for host in runner.world.hosts:
            await host.require_alive()


def _report(runner: Runner, say: Callable[[str], None]) -> None:
    counts, volumes = runner.counts, runner.volumes
    kinds = sorted({kind for kind, _ in counts})
    for kind in kinds:
        outcomes = ", ".join(f"{number} {outcome}" for (of, outcome), number in sorted(counts.items()) if of == kind)
        say(f"{kind:>14}: {outcomes}")
    files = [written for volume in volumes.values() if volume.exists for written in volume.files.values()]
    counted = sum(written.counts for written in files)
    say(f"{len([v for v in volumes.values() if v.exists])} volumes are left; {counted} acknowledged files had to be")
    say(f"there, {len(files) - counted} were written while their drive failed")
    say(f"{runner.judged} uses of volumes had to succeed, for their drives were well")


async def _until_signal(seed: int, shape: Shape, directory: Path) -> list[str]:
    """Run, and end in order when interrupted."""
    task = asyncio.ensure_future(run(seed, shape, directory, partial(print, flush=True)))
    for which in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(which, task.cancel)
    return await task


def main() -> int:
    """Parse the command line, run, and return the exit status: 1 when something is wrong, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: a random one")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--drives", type=int, default=3, help="per node")
    parser.add_argument("--pace", type=float, default=1.0, help="2: everything happens twice as often")
    parser.add_argument("--keep", type=Path, help="directory for logs and disks, kept afterwards")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    network.enter()
    shape = Shape(given.minutes * 60, given.nodes, given.drives, 0.8 / given.pace, 4.0 / given.pace)
    with contextlib.ExitStack() as stack:
        if given.keep:
            given.keep.mkdir(parents=True)
        directory = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="directpv-chaos-")))
        try:
            problems = asyncio.run(_until_signal(given.seed, shape, directory))
        except asyncio.CancelledError:
            print(f"seed {given.seed}: interrupted")
            return 130
    for problem in problems:
        print(f"seed {given.seed}: {problem}")
    print(f"seed {given.seed}: {'all is well' if not problems else f'{len(problems)} problems'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
