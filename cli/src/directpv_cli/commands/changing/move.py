"""``move`` and ``evacuate``: begin moves, follow them, and say what came of each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.commands.listing import all_volumes
from directpv_cli.reaching.session import run
from directpv_cli.showing.documents import output_format
from directpv_cli.showing.lines import fail, plain, say, trouble
from directpv_cli.showing.moving import Bars, bars, row
from directpv_cli.showing.tables import show as show_table
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, NotFound, Unavailable
from directpv_common.protocol.units import format_bytes

ASK_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Flags:
    """How to move."""

    limit: int = 0
    volumes: tuple[str, ...] = ()
    dry_run: bool = False
    within: float = 0.0
    """Seconds to wait for the end; 0: moves are begun, and that is all."""
    output: str = ""


@dataclass
class _Result:
    """What came of one volume."""

    name: str
    source: str
    status: m.MoveStatus | None = None
    outcome: str = ""
    message: str = ""
    told: tuple[str, str] = field(default=("", ""))

    @property
    def good(self) -> bool:
        """Whether it is as it was asked for."""
        return self.outcome in ("Moved", "Begun", "WouldMove", "Cancelled")


def two(words: Sequence[str]) -> tuple[str, str]:
    """Return source and target. Raises ValueError: there are not two of them, or both are one."""
    if len(words) != 2 or words[0] == words[1]:
        raise ValueError("move: name two drives, the one to move from and the one to move to")
    return words[0], words[1]


def require_some(words: Sequence[str]) -> None:
    """Raise ValueError unless volumes are named."""
    if not words:
        raise ValueError("move --cancel: name at least one volume; `move` shows those that are being moved")


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
    moves = run(lambda bus: _moves(bus, ()))
    if document is not None:
        document({"moves": [_facts(status) for status in moves]})
    elif moves:
        columns = ("VOLUME", "NODE", "FROM", "TO", "STATE", "COPIED", "RATE", "LEFT", "MESSAGE")
        show_table(columns, [row(status) for status in moves])
    else:
        say("No volume is being moved")


def _end(results: list[_Result], flags: Flags) -> None:
    document = output_format(flags.output, wide=False)
    if document is not None:
        document({"volumes": [_document(result) for result in results]})
    if not results:
        say("Nothing to do: there are no volumes to move")
    elif bad := [result for result in results if not result.good]:
        fail(f"{len(bad)} of {len(results)} moves have not ended as asked")


# ---- on the bus


async def _evacuate(bus: Bus, source: str, flags: Flags) -> list[_Result]:
    (fsuuid,) = await resolved(bus, (source,))

    async def cordon() -> None:
        await bus.call(Controller.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, unschedulable=True))
        say(f"Drive {plain(fsuuid)} cordoned")

    results = await _move_all(bus, fsuuid, "", flags, cordon)
    if results and not flags.dry_run and not any(result.outcome != "Error" for result in results):
        say(f"Nothing was changed: no volume can be moved. Drive {plain(fsuuid)} is not cordoned by that")
    return results


async def _move_all(
    bus: Bus, source: str, target: str, flags: Flags, cordon: Callable[[], Awaitable[None]] | None = None
) -> list[_Result]:
    """Move the volumes of a drive; ``cordon`` is done once, when the first one has begun."""
    (old,) = await resolved(bus, (source,))
    (new,) = await resolved(bus, (target,)) if target else ("",)
    found = await all_volumes(bus, m.ListVolumes(drives=(old,)))
    sizes = {volume.record.name: volume.record.capacity for volume in found}
    left = [status.name for status in await _moves(bus, ()) if status.source == old]
    names = sorted({*sizes, *left}.intersection(flags.volumes) if flags.volumes else {*sizes, *left})
    if missing := sorted(set(flags.volumes) - set(names)):
        raise NotFound(f"drive {old} has no volume {', '.join(missing)}")
    results = [_Result(name, old) for name in names]
    if flags.dry_run:
        for result in results:
            result.outcome = "WouldMove"
            size, where = format_bytes(sizes.get(result.name, 0)), f" to drive {new}" if new else ""
            say(f"Volume {plain(result.name)} ({size}) would be moved{where} (dry run)")
        return results
    for result in results:
        await _begin(bus, result, m.MoveVolume(name=result.name, target=new, limit=flags.limit))
        if cordon is not None and result.outcome == "Begun":
            await cordon()
            cordon = None
    await _follow(bus, results, flags)
    return results


async def _cancel_all(bus: Bus, names: Sequence[str], flags: Flags) -> list[_Result]:
    results = [_Result(name, "") for name in dict.fromkeys(names)]
    for result in results:
        await _begin(bus, result, m.MoveVolume(name=result.name, cancel=True))
        result.source = result.status.source if result.status is not None else ""
    await _follow(bus, results, flags, done="Cancelled")
    return results


async def _begin(bus: Bus, result: _Result, request: m.MoveVolume) -> None:
    try:
        result.status = await bus.call(Controller.VOLUME_MOVE, request, within=ASK_SECONDS)
        result.outcome = "Begun"
    except DirectPVError as error:
        result.outcome, result.message = "Error", error.message
        trouble(f"{result.name}: {error.message}")


async def _follow(bus: Bus, results: list[_Result], flags: Flags, done: str = "Moved") -> None:
    """Follow what was begun until it has ended, or nobody waits any more."""
    open_ = {result.name: result for result in results if result.outcome == "Begun"}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + flags.within
    with bars(list(open_)) as shown:
        while open_ and flags.within:
            try:
                await _look(bus, open_, shown, done)
            except (Unavailable, DeadlineExceeded) as error:
                shown.message(error.message)
            if open_ and loop.time() >= deadline:
                for result in open_.values():
                    result.outcome, result.message = "Waiting", "it goes on; repeat the command to follow it"
                return
            await asyncio.sleep(LOOK_SECONDS if open_ else 0.0)


async def _look(bus: Bus, open_: dict[str, _Result], shown: Bars, done: str) -> None:
    now = {status.name: status for status in await _moves(bus, tuple(open_))}
    for name, result in list(open_.items()):
        if (status := now.get(name)) is not None:
            result.status = status
            await _tell(bus, result, status)
            shown.update(status)
            continue
        del open_[name]
        await _ended(bus, result, done)
        shown.end(name, good=result.good)


async def _moves(bus: Bus, names: tuple[str, ...]) -> list[m.MoveStatus]:
    return list((await bus.call(Controller.MOVE_LIST, m.ListMoves(names=names), within=ASK_SECONDS)).moves)


async def _ended(bus: Bus, result: _Result, done: str) -> None:
    """Find out what became of a move that is none any more."""
    try:
        record = (await bus.call(Controller.VOLUME_GET, m.VolumeId(name=result.name), within=ASK_SECONDS)).record
    except NotFound:
        result.outcome, result.message = "Error", "the volume was deleted meanwhile"
        trouble(f"{result.name}: {result.message}")
        return
    moved = record.fsuuid != result.source
    result.outcome = "Moved" if moved else "Cancelled"
    if result.outcome != done:
        result.outcome = f"Not{done}"
    where = f"is on drive {record.fsuuid}" if moved else f"stays on drive {record.fsuuid}"
    result.message = where
    say(f"Volume {plain(result.name)} {where}")


async def _tell(bus: Bus, result: _Result, status: m.MoveStatus) -> None:
    """Say what is new of a move: what people must do, and what is wrong."""
    now = (str(status.state), status.message)
    if now == result.told:
        return
    result.told = now
    if status.state is m.MoveState.WAITING:
        say(f"Volume {plain(status.name)} is copied but for the last pass: {plain(await _who(bus, status.name))}")
    elif status.message:
        say(f"Volume {plain(status.name)} {status.state}: {plain(status.message)}")


async def _who(bus: Bus, name: str) -> str:
    """Return in words what the last pass waits for."""
    record = (await bus.call(Controller.VOLUME_GET, m.VolumeId(name=name), within=ASK_SECONDS)).record
    if not record.pod_name:
        return "end what uses it, and it begins"
    return f"restart its pod: kubectl delete pod -n {record.pod_namespace} {record.pod_name}"


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


def _document(result: _Result) -> dict[str, Any]:
    facts = _facts(result.status) if result.status is not None else {"name": result.name, "from": result.source}
    return {**facts, "outcome": result.outcome, "message": result.message}
