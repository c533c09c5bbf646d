"""``console``: drives, volumes and nodes in the browser."""

from typing import Annotated, Final

import typer

from directpv_cli.reading.words import Seconds
from directpv_cli.verbs.flags import waiting

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of loopback; 0 takes a free one.")]
IPv6 = Annotated[bool, typer.Option("--ipv6", help="Listen at [::1], too.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, and open no browser.")]
Idle = Annotated[float, waiting("--idle", "End when nobody looked for so long.")]
IDLE: Final = Seconds(8 * 3600)
"""A working day."""


def console(port: Port = 0, ipv6: IPv6 = False, no_browser: NoBrowser = False, idle: Idle = IDLE) -> None:
    """Serve a web console on this machine: all drives, volumes and nodes on one screen, live.

    It acts with your own rights, and for you alone: the address that it prints works once, in one browser.
    """
    from directpv_cli.console.command import console as command
    from directpv_cli.console.serving.server import Options

    command(Options(port, ipv6, idle), browser=not no_browser)
