"""Follows moves until they have ended, or nobody waits any more, and says what is new of each, once."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.showing.moving import Bars, bars
from directpv_cli.showing.terminal.lines import plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DeadlineExceeded, NotFound, Unavailable

ASK_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.5
GOOD: Final = ("Moved", "Begun", "WouldMove", "Cancelled")


@dataclass
class Result:
    """What came of one volume."""

    name: str
    source: str
    status: m.MoveStatus | None = None
    outcome: str = ""
    message: str = ""
    seen: tuple[str, str] = ("", "")
    """State and message, as looked at last."""
    said: dict[tuple[str, bool], str] = field(default_factory=dict)
    """What people were told last of a state, and of one with a message."""

    @property
    def good(self) -> bool:
        """Whether it is as it was asked for."""
        return self.outcome in GOOD

    def wrong(self, outcome: str, message: str) -> None:
        """It is not as it was asked for; say so."""
        self.outcome, self.message = outcome, message
        trouble(f"{self.name}: {message}")


async def follow(bus: Bus, results: list[Result], within: float, done: str = "Moved") -> None:
    """Follow what was begun until it has ended, for ``within`` seconds; 0: not at all."""
    open_ = {result.name: result for result in results if result.outcome == "Begun"}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    with bars(list(open_)) as shown:
        while open_ and within:
            try:
                await _look(bus, open_, shown, done)
            except (Unavailable, DeadlineExceeded) as error:
                shown.message(error.message)
            if open_ and loop.time() >= deadline:
                for result in open_.values():
                    result.outcome, result.message = "Waiting", "it goes on; repeat the command to follow it"
                return
            await asyncio.sleep(LOOK_SECONDS if open_ else 0.0)


async def moves(bus: Bus, names: tuple[str, ...] = ()) -> list[m.MoveStatus]:
    """Return the moves that have not ended, of some volumes or all."""
    return list((await bus.call(Controller.MOVE_LIST, m.ListMoves(names=names), within=ASK_SECONDS)).moves)


async def record_of(bus: Bus, name: str) -> m.VolumeRecord:
    """Return what is known of a volume. Raises NotFound: there is none."""
    return (await bus.call(Controller.VOLUME_GET, m.VolumeId(name=name), within=ASK_SECONDS)).record


async def _look(bus: Bus, open_: dict[str, Result], shown: Bars, done: str) -> None:
    now = {status.name: status for status in await moves(bus, tuple(open_))}
    for name, result in list(open_.items()):
        if (status := now.get(name)) is not None:
            result.status = status
            await tell(bus, result, status)
            shown.update(status)
            continue
        del open_[name]
        await _ended(bus, result, done)
        shown.end(name, good=result.good)


async def _ended(bus: Bus, result: Result, done: str) -> None:
    """Find out what became of a move that is none any more."""
    try:
        record = await record_of(bus, result.name)
    except NotFound:
        result.wrong("Error", "the volume was deleted meanwhile")
        return
    moved = record.fsuuid != result.source
    result.outcome = "Moved" if moved else "Cancelled"
    if result.outcome != done:
        result.outcome = f"Not{done}"
    result.message = f"is on drive {record.fsuuid}" if moved else f"stays on drive {record.fsuuid}"
    say(f"Volume {plain(result.name)} {result.message}")


async def tell(bus: Bus, result: Result, status: m.MoveStatus) -> None:
    """Say what is new of a move: what people must do, and what is wrong; passes that come and go are not."""
    now = (str(status.state), status.message)
    if now == result.seen:
        return
    result.seen = now
    key, words = (str(status.state), bool(status.message)), await _words(bus, status)
    if words and words != result.said.get(key):
        say(f"Volume {plain(status.name)} {plain(words)}")
        result.said[key] = words


async def _words(bus: Bus, status: m.MoveStatus) -> str:
    if status.state is m.MoveState.WAITING:
        return f"is copied but for the last pass: {await _who(bus, status)}"
    return f"{status.state}: {status.message}" if status.message else ""


async def _who(bus: Bus, status: m.MoveStatus) -> str:
    """Return in words what the last pass waits for."""
    if status.message:
        return status.message
    record = await record_of(bus, status.name)
    if not record.pod_name:
        return "end what uses it, and it begins"
    return f"restart its pod: kubectl delete pod -n {record.pod_namespace} {record.pod_name}"
