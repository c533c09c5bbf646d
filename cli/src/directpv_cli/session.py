"""From a command to the bus and back: connect late, fail clearly, tell the truth in the exit status."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from directpv_common.bus import Bus

T = TypeVar("T")

RUNTIME_ERROR: Final = 1
"""Something failed, or nothing matched."""
USAGE_ERROR: Final = 255
"""The arguments cannot be understood; upstream's status for it."""
CONNECT_SECONDS: Final = 5.0


@dataclass
class Settings:
    """Global flags."""

    nats_url: str = ""
    """Empty: see :mod:`.reach`."""
    kubeconfig: str = ""
    prefix: str = "directpv.v1"
    quiet: bool = False


settings = Settings()


def fail(message: str, status: int = RUNTIME_ERROR) -> NoReturn:
    """Print ``message`` on standard error and exit with ``status``."""
    say(f"[red]ERROR[/red] {_escaped(message)}")
    raise typer.Exit(status)


def say(markup: str) -> None:
    """Print a line for people on standard error; nothing under ``--quiet``."""
    if settings.quiet:
        return
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(markup)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def run(work: "Callable[[Bus], Awaitable[T]]") -> T:
    """Reach the bus, await ``work(bus)`` and return its result; any error ends the program with status 1."""
    import asyncio
    import contextlib
    import logging

    from directpv_cli.reach import reached
    from directpv_common.bus import cancellation_heeded, connect_bus
    from directpv_common.errors import DirectPVError

    logging.getLogger("directpv_common").setLevel(logging.CRITICAL)
    logging.getLogger("nats").setLevel(logging.CRITICAL)

    async def connected() -> T:
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(reached(settings.nats_url, settings.kubeconfig))
            bus = connect_bus(url, name="kubectl-directpv", prefix=settings.prefix, within=CONNECT_SECONDS)
            with cancellation_heeded():  # Ctrl-C just while the server greets
                entered = await stack.enter_async_context(bus)
            return await work(entered)

    try:
        return asyncio.run(connected())
    except DirectPVError as error:
        fail(f"{error.message}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("interrupted")


def checked(parse: Callable[[], T]) -> T:
    """Return what ``parse()`` returns; bad arguments end the program with status 255."""
    try:
        return parse()
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
