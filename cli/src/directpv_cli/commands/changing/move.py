"""``move`` and ``evacuate``: begin moves, follow them, and say what came of each."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.commands.changing.following import ASK_SECONDS, Result, follow, moves, record_of
from directpv_cli.commands.listing import all_volumes
from directpv_cli.reaching.session import run
from directpv_cli.showing.already import ALREADY
from directpv_cli.showing.moving import row
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say
from directpv_cli.showing.terminal.tables import show as show_table
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound
from directpv_common.protocol.units import format_bytes

NAMED: Final = 5
"""Volumes that are named where many are meant."""


@dataclass(frozen=True)
class Flags:
    """How to move."""

    limit: int = 0
    volumes: tuple[str, ...] = ()
    dry_run: bool = False
    within: float = 0.0
    """Seconds to wait for the end; 0: moves are begun, and that is all."""
    output: str = ""


def two(words: Sequence[str]) -> tuple[str, str]:
    """Return source and target. Raises ValueError: there are not two of them, or both are one."""
    if len(words) != 2:
        raise ValueError("move: name two drives, the one to move from and the one to move to")
    if words[0] == words[1]:
        raise ValueError(f"move: {words[0]} is both drives; name another one to move to")
    return words[0], words[1]


def require_cancel_alone(words: Sequence[str], **others: object) -> None:
    """Raise ValueError unless volumes are named, and nothing that says how to move."""
    if not words:
        raise ValueError("move --cancel: name at least one volume; `move` shows those that are being moved")
    if given := [f"--{name.replace('_', '-')}" for name, value in others.items() if value]:
        raise ValueError(f"move --cancel: name the volumes, and leave out {', '.join(given)}")


def require_words(**others: object) -> None:
    """Raise ValueError if it is said how to move, and not what."""
    if any(others.values()):
        raise ValueError("move: name two drives, the one to move from and the one to move to")


def require_data(*, with_data: bool) -> None:
    """Refuse what would leave the data behind."""
    if not with_data:
        fail(
            "without --with-data only the records would move, and pods would find empty volumes: that is not done. Add "
            "--with-data if the drive can still be read; if it is dead, delete the claims and let the application heal"
        )


def move(source: str, target: str, flags: Flags) -> None:
    """Move all volumes of a drive to another one."""
    _end(run(lambda bus: _move_all(bus, source, target, flags)), flags)


def evacuate(source: str, flags: Flags) -> None:
    """Move all volumes of a drive to where the controller chooses, and cordon it as soon as one of them moves."""
    _end(run(lambda bus: _evacuate(bus, source, flags)), flags)


def cancel(names: Sequence[str], flags: Flags) -> None:
    """Take moves back."""
    _end(run(lambda bus: _cancel_all(bus, names, flags)), flags)


def show(flags: Flags) -> None:
    """Show the moves that have not ended."""
    document = output_format(flags.output, wide=False)
    found = run(moves)
    if document is not None:
        document({"moves": [_facts(status) for status in found]})
    elif found:
        columns = ("VOLUME", "NODE", "FROM", "TO", "STATE", "COPIED", "RATE", "LEFT", "MESSAGE")
        show_table(columns, [row(status) for status in found])
    else:
        say("No volume is being moved")


def _end(results: list[Result], flags: Flags) -> None:
    document = output_format(flags.output, wide=False)
    if document is not None:
        document({"volumes": [_document(result) for result in results]})
    if not results:
        say("Nothing to do: there are no volumes to move")
    elif bad := [result for result in results if not result.good]:
        have = "has" if len(bad) == 1 else "have"
        fail(f"{len(bad)} of {counted(len(results), 'move')} {have} not ended as asked")


# ---- on the bus


async def _evacuate(bus: Bus, source: str, flags: Flags) -> list[Result]:
    (fsuuid,) = await resolved(bus, (source,))

    async def cordon() -> None:
        await bus.call(Controller.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, unschedulable=True))
        say(f"Drive {plain(fsuuid)} cordoned")

    if coming := await _coming(bus, fsuuid):
        raise FailedPrecondition(f"{_moved_here(fsuuid, coming)}; nothing was changed")
    results = await _move_all(bus, fsuuid, "", flags, cordon)
    if results and flags.dry_run:
        say(f"Drive {plain(fsuuid)} would be cordoned as soon as one of them moves (dry run)")
    if results and not flags.dry_run and not any(result.outcome != "Error" for result in results):
        say(f"Nothing was changed: no volume can be moved. Drive {plain(fsuuid)} is not cordoned by that")
    elif results and not flags.dry_run:
        results += await _come_meanwhile(bus, fsuuid, flags, results)
    return results


async def _coming(bus: Bus, drive: str) -> list[str]:
    """Return the volumes that are being moved to a drive."""
    found = await moves(bus)
    return [each.name for each in found if each.target == drive and each.state is not m.MoveState.CANCELLING]


def _moved_here(drive: str, names: Sequence[str]) -> str:
    some = ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
    return (
        f"{counted(len(names), 'volume')} {'is' if len(names) == 1 else 'are'} being moved to drive {drive}: {some}. "
        f"Cancel that first (kubectl directpv move --cancel {' '.join(names[:NAMED])}), or wait for it, and repeat"
    )


async def _come_meanwhile(bus: Bus, drive: str, flags: Flags, known: Sequence[Result]) -> list[Result]:
    """Return what came to the drive, or comes, since it was looked at: somebody else moved it there just then."""
    coming, names = await _coming(bus, drive), {result.name for result in known}
    others = [Result(name, drive) for name in coming if name not in names]
    for result in others:
        result.wrong("Coming", _moved_here(drive, [result.name]))
    if flags.volumes or not flags.within:
        return others
    names |= set(coming)
    here = [volume.record.name for volume in await all_volumes(bus, m.ListVolumes(drives=(drive,)))]
    arrived = [Result(name, drive) for name in here if name not in names]
    for result in arrived:
        result.wrong("Came", f"came to drive {drive} meanwhile; repeat the command")
    return others + arrived


async def _move_all(
    bus: Bus, source: str, target: str, flags: Flags, cordon: Callable[[], Awaitable[None]] | None = None
) -> list[Result]:
    """Move the volumes of a drive; ``cordon`` is done once, when the first one has begun."""
    (old,) = await resolved(bus, (source,))
    (new,) = await resolved(bus, (target,)) if target else ("",)
    found = await all_volumes(bus, m.ListVolumes(drives=(old,)))
    sizes = {volume.record.name: volume.record.capacity for volume in found}
    left = [status.name for status in await moves(bus) if status.source == old]
    names = sorted({*sizes, *left}.intersection(flags.volumes) if flags.volumes else {*sizes, *left})
    if missing := sorted(set(flags.volumes) - set(names)):
        raise NotFound(f"drive {old} has no volume {', '.join(missing)}")
    results = [Result(name, old) for name in names]
    if flags.dry_run:
        for result in results:
            result.outcome = "WouldMove"
            size = format_bytes(sizes.get(result.name, 0))
            where = f" to drive {new}" if new else ", to the drive of its node that suits it and has most space then"
            say(f"Volume {plain(result.name)} ({size}) would be moved{where} (dry run)")
        return results
    for result in results:
        await _begin(bus, result, m.MoveVolume(name=result.name, target=new, limit=flags.limit))
        if cordon is not None and result.outcome == "Begun":
            await cordon()
            cordon = None
    await follow(bus, results, flags.within)
    return results


async def _cancel_all(bus: Bus, names: Sequence[str], flags: Flags) -> list[Result]:
    results = [Result(name, "") for name in dict.fromkeys(names)]
    for result in results:
        await _begin(bus, result, m.MoveVolume(name=result.name, cancel=True))
        result.source = result.status.source if result.status is not None else result.source
    await follow(bus, results, flags.within, done="Cancelled")
    return results


async def _begin(bus: Bus, result: Result, request: m.MoveVolume) -> None:
    try:
        status = result.status = await bus.call(Controller.VOLUME_MOVE, request, within=ASK_SECONDS)
        if status.state is m.MoveState.NONE:
            await _not_moving(bus, result, cancel=request.cancel)
            return
        result.outcome = "Begun"
    except DirectPVError as error:
        result.wrong("Error", error.message)
        return
    if request.cancel:
        say(f"Volume {plain(result.name)}: its move to drive {plain(status.target)} is being taken back")
    else:
        rate = f", at most {format_bytes(request.limit)} a second" if request.limit else ""
        say(f"Volume {plain(result.name)} is being moved to drive {plain(status.target)}{rate}")


async def _not_moving(bus: Bus, result: Result, *, cancel: bool) -> None:
    """Say where a volume is that is not being moved: that it stays there is so already, unless a move has ended."""
    record = await record_of(bus, result.name)
    result.status, result.source = None, record.fsuuid
    if record.origins or not cancel:
        moved = f", to which it was moved from drive {record.origins[-1]}" if record.origins else ""
        result.wrong("NotFound", f"is not being moved: it is on drive {record.fsuuid}{moved}")
        return
    result.outcome, result.message = "Cancelled", f"{ALREADY['cancelled']}: it stays on drive {record.fsuuid}"
    say(f"Volume {plain(result.name)} {result.message}")


# ---- documents


def _facts(status: m.MoveStatus) -> dict[str, Any]:
    return {
        "name": status.name,
        "node": status.node,
        "from": status.source,
        "to": status.target,
        "state": str(status.state),
        "passes": status.passes,
        "bytes": status.done,
        "totalBytes": status.total,
        "bytesPerSecond": status.rate,
        "message": status.message,
    }


def _document(result: Result) -> dict[str, Any]:
    facts = _facts(result.status) if result.status is not None else {"name": result.name, "from": result.source}
    return {**facts, "outcome": result.outcome, "message": result.message}
