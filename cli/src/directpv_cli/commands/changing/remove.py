"""``remove``: gives up drives without volumes, each by itself, and follows what becomes of it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.commands.listing import all_drives
from directpv_cli.reaching.session import run
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_cli.showing.terminal.progress import Steps, steps
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, NotFound, Unavailable

ASK_SECONDS: Final = 30.0
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
AT_ONCE: Final = 32
UNKNOWN: Final = "is not found: it is not registered, or was removed before"


@dataclass(frozen=True)
class Flags:
    """How to remove."""

    wipe: m.Wipe = m.Wipe.NONE
    dry_run: bool = False
    within: float = 0.0
    """Seconds to wait for nodes; 0: only until it is recorded."""
    output: str = ""
    ignore_not_found: bool = False
    """Whether what is not there is no error."""


@dataclass
class _Result:
    """What came of one drive."""

    fsuuid: str
    removal: m.DriveRemoval | None = None
    error: str = ""
    known: bool = True

    @property
    def title(self) -> str:
        """What people call it."""
        if self.removal is None or not self.removal.node:
            return self.fsuuid
        return f"{self.removal.node}/{self.removal.device or self.fsuuid}"


def remove(selection: m.ListDrives, flags: Flags) -> None:
    """Give up the drives that are selected, and end with what came of each; the exit status tells whether all are."""
    show = output_format(flags.output, wide=False)
    results = run(lambda bus: _remove_all(bus, selection, flags))
    for result in results:
        _print(result, flags)
    if show is not None:
        show({"drives": [_document(result) for result in results]})
    if not results and not (flags.ignore_not_found and selection.ids):
        fail("no drives match")
    if failed := [result for result in results if not _is_good(result, flags)]:
        were, yet = "was" if len(failed) == 1 else "were", ", or not yet" * (not flags.dry_run)
        fail(f"{len(failed)} of {counted(len(results), 'drive')} {were} not removed{yet}")


async def _remove_all(bus: Bus, selection: m.ListDrives, flags: Flags) -> list[_Result]:
    fsuuids = await _selected(bus, selection, flags)
    gate = asyncio.Semaphore(AT_ONCE)
    with steps("Looking at" if flags.dry_run else "Removing", fsuuids) as shown:
        return await asyncio.gather(*(_remove(bus, fsuuid, flags, shown, gate) for fsuuid in fsuuids))


async def _selected(bus: Bus, selection: m.ListDrives, flags: Flags) -> list[str]:
    """Return the drives that are meant; ids alone are asked for also if the controller does not list them.

    Who repeats the command shall hear that its drives are gone, not that they are unknown.
    """
    missing: list[str] = []
    try:
        ids = await resolved(bus, selection.ids, missing if flags.ignore_not_found else None, removed=True)
    except NotFound as error:
        raise NotFound(
            f"{error.message}. If it was removed before, that is done: --ignore-not-found says so"
        ) from error
    for why in missing:
        say(plain(why))
    if selection.ids and msgspec.structs.replace(selection, ids=()) == m.ListDrives():
        return list(ids)
    if selection.ids and not ids:
        return []
    asked = msgspec.structs.replace(selection, ids=ids)
    return [drive.record.fsuuid for drive in await all_drives(bus, asked, required=not flags.ignore_not_found)]


async def _remove(bus: Bus, fsuuid: str, flags: Flags, shown: Steps, gate: asyncio.Semaphore) -> _Result:
    result = _Result(fsuuid)
    try:
        async with gate:
            result.removal = await _followed(bus, fsuuid, flags)
    except NotFound:
        result.known, result.error = False, UNKNOWN
    except DirectPVError as error:
        result.error = error.message
    (shown.done if _is_good(result, flags) else shown.failed)(fsuuid)
    return result


async def _followed(bus: Bus, fsuuid: str, flags: Flags) -> m.DriveRemoval:
    """Ask, and ask again while the node is at work, for as long as that is worth waiting for."""
    request = m.RemoveDrive(fsuuid=fsuuid, wipe=flags.wipe, dry_run=flags.dry_run)
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + flags.within, PAUSE
    removal = await bus.call(Controller.DRIVE_REMOVE, request, within=ASK_SECONDS)
    while removal.outcome is m.RemovalOutcome.WAITING and removal.online and loop.time() < deadline:
        await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
        pause = min(2 * pause, LONGEST_PAUSE)
        try:
            removal = await bus.call(Controller.DRIVE_REMOVE, request, within=ASK_SECONDS)
        except NotFound:  # another controller leads, and the drive is gone
            return msgspec.structs.replace(removal, outcome=m.RemovalOutcome.REMOVED, message="it is gone")
        except (Unavailable, DeadlineExceeded) as error:
            removal = msgspec.structs.replace(removal, message=error.message)
    return removal


def _is_good(result: _Result, flags: Flags) -> bool:
    if not result.known:
        return flags.ignore_not_found
    if result.removal is None:
        return False
    return result.removal.outcome is not m.RemovalOutcome.WAITING or not flags.within


def _print(result: _Result, flags: Flags) -> None:
    removal, title = result.removal, plain(result.title)
    if removal is None:
        if result.known or not flags.ignore_not_found:
            trouble(f"drive {result.title} {result.error}" if not result.known else f"{result.title}: {result.error}")
        else:
            say(f"Drive {title} {result.error}")
    elif removal.outcome is m.RemovalOutcome.WAITING:
        say(f"Drive {title} [yellow]is recorded as removed, and waits[/yellow]: {plain(removal.message)}")
    else:
        already = removal.outcome is m.RemovalOutcome.REMOVED
        done = "would be removed (dry run)" if flags.dry_run and not already else "removed"
        say(f"Drive {title} {done}: {plain(removal.message)}")


def _document(result: _Result) -> dict[str, Any]:
    removal = result.removal
    return {
        "id": result.fsuuid,
        "node": removal.node if removal is not None else "",
        "device": removal.device if removal is not None else "",
        "outcome": str(removal.outcome) if removal is not None else ("Error" if result.known else "NotFound"),
        "message": removal.message if removal is not None else result.error,
    }
