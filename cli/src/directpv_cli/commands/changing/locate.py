"""``locate``: switches the lights of the bays that drives are in, and says which bays these are."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.reaching.session import run
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError

LIGHT_SECONDS: Final = 30.0
AT_ONCE: Final = 32

Result = tuple[str, m.BayLight | DirectPVError]
"""Of one drive, by its id."""


def locate(words: Sequence[str], on: bool | None, *, output: str) -> None:
    """Switch the lights of the drives' bays, None: look at them; the exit status tells whether all are as asked."""
    show = output_format(output, wide=False)
    results = run(lambda bus: _locate_all(bus, words, on))
    for fsuuid, result in results:
        _print(fsuuid, result)
    if show is not None:
        show({"lights": [_document(fsuuid, result) for fsuuid, result in results]})
    if failed := [fsuuid for fsuuid, result in results if isinstance(result, DirectPVError)]:
        fail(f"{len(failed)} of {counted(len(results), 'drive')} cannot be located")


async def _locate_all(bus: Bus, words: Sequence[str], on: bool | None) -> list[Result]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(fsuuid: str) -> Result:
        async with gate:
            try:
                request = m.LocateDrive(fsuuid=fsuuid, on=on)
                return fsuuid, await bus.call(Controller.DRIVE_LOCATE, request, within=LIGHT_SECONDS)
            except DirectPVError as error:
                return fsuuid, error

    return await asyncio.gather(*map(one, await resolved(bus, words)))


def _print(fsuuid: str, result: m.BayLight | DirectPVError) -> None:
    if isinstance(result, DirectPVError):
        trouble(f"Drive {fsuuid}: {result.message}")
    else:
        lit = "lit" if result.on else "dark"
        serial = f" (serial number {plain(result.serial)})" * bool(result.serial)
        where = f"{plain(result.node)}/{plain(result.device)}{serial}"
        say(f"Drive {where} is in bay {plain(result.bay)}, whose light is {lit}")


def _document(fsuuid: str, result: m.BayLight | DirectPVError) -> dict[str, Any]:
    if isinstance(result, DirectPVError):
        return {"fsuuid": fsuuid, "error": result.message}
    return msgspec.structs.asdict(result)
