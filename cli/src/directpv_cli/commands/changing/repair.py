"""``repair``: begins repairs, follows them, and says what came of each."""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.reaching.session import run
from directpv_cli.showing.terminal.lines import fail, plain, say
from directpv_cli.showing.terminal.progress import Steps, steps
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, NotFound, Unavailable

BEGIN_SECONDS: Final = 120.0
"""A node looks at all of its devices before; one that hangs delays that."""
POLL_SECONDS: Final = 10.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
SHOWN_SECONDS: Final = 5.0
OUTPUT_LINES: Final = 20
GOOD: Final = frozenset({m.RepairOutcome.CLEAN, m.RepairOutcome.REPAIRED})


@dataclass(frozen=True)
class Flags:
    """How to repair."""

    force: bool = False
    disable_prefetch: bool = False
    dry_run: bool = False


def repair(fsuuids: Sequence[str], flags: Flags, *, within: float) -> None:
    """Repair the drives, all at the same time; ``within`` 0: only begin. The exit status tells whether all is well."""
    results = run(lambda bus: _repair_all(bus, fsuuids, flags, within))
    bad = [result for result in results if not result]
    if bad:
        what = "begun" if not within else ("checked and found well" if flags.dry_run else "repaired")
        were = "was" if len(bad) == 1 else "were"
        fail(f"{len(bad)} of {counted(len(results), 'drive')} {were} not {what}")


async def _repair_all(bus: Bus, fsuuids: Sequence[str], flags: Flags, within: float) -> list[bool]:
    fsuuids = await resolved(bus, fsuuids)
    with steps("Checking" if flags.dry_run else "Repairing", fsuuids) as shown:
        return await asyncio.gather(*(_repair(bus, fsuuid, flags, within, shown) for fsuuid in fsuuids))


async def _repair(bus: Bus, fsuuid: str, flags: Flags, within: float, shown: Steps) -> bool:
    """Repair one drive, print what came of it, and tell whether that is good."""
    request = m.RepairDrive(
        fsuuid=fsuuid,
        id=secrets.token_hex(8),
        force=flags.force,
        disable_prefetch=flags.disable_prefetch,
        dry_run=flags.dry_run,
    )
    try:
        status = await bus.call(Controller.DRIVE_REPAIR, request, within=BEGIN_SECONDS)
        if within:
            status = await _outcome(bus, status, within)
            await _shown(bus, status)
    except DirectPVError as error:
        _print(fsuuid, "ERROR", error.message, good=False)
        shown.failed(fsuuid)
        return False
    good = status.outcome in GOOD or not (within or status.outcome is not m.RepairOutcome.RUNNING)
    _print(fsuuid, str(status.outcome), status.message, good=good, output="" if good else status.output)
    (shown.done if good else shown.failed)(fsuuid)
    return good


async def _outcome(bus: Bus, status: m.RepairStatus, within: float) -> m.RepairStatus:
    """Wait until the repair has ended; a controller or agent that is away for a moment is asked again.

    Raises:
        NotFound: The agent was restarted, which ended the repair.
        DeadlineExceeded: It runs still.
    """
    loop = asyncio.get_running_loop()
    deadline, pause, last = loop.time() + within, FIRST_PAUSE, status.message
    while status.outcome is m.RepairOutcome.RUNNING:
        left = deadline - loop.time()
        if left <= 0:
            raise DeadlineExceeded(f"not ended within {within:g} s, and goes on ({last}); repeat to go on waiting")
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
        try:
            status = _same(status, await _ask(bus, status.fsuuid))
        except (Unavailable, DeadlineExceeded) as error:
            last = error.message
    return status


async def _shown(bus: Bus, status: m.RepairStatus) -> None:
    """Wait a little until the controller has heard of the drive's state: what is listed next shall agree."""
    with contextlib.suppress(DirectPVError, TimeoutError):
        async with timeout(SHOWN_SECONDS):
            while True:
                page = await bus.call(Controller.DRIVE_LIST, m.ListDrives(ids=(status.fsuuid,)), within=SHOWN_SECONDS)
                if all(drive.record.status == status.status for drive in page.drives):
                    return
                await asyncio.sleep(FIRST_PAUSE)


async def _ask(bus: Bus, fsuuid: str) -> m.RepairStatus:
    return await bus.call(Controller.DRIVE_REPAIR_STATUS, m.DriveId(fsuuid=fsuuid), within=POLL_SECONDS)


def _same(before: m.RepairStatus, now: m.RepairStatus) -> m.RepairStatus:
    if now.id != before.id:
        raise NotFound("the node began another repair of the drive meanwhile; the outcome of this one is unknown")
    return now


def _print(fsuuid: str, outcome: str, message: str, *, good: bool, output: str = "") -> None:
    colour = "green" if good else "red"
    say(f"[{colour}]{outcome}[/{colour}] {fsuuid}: {plain(message)}")
    for line in output.splitlines()[-OUTPUT_LINES:]:
        say(f"    {plain(line)}")
