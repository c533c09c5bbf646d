"""``console``: serves it, and opens the browser."""

import asyncio
import contextlib
import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from directpv_cli.console.serving.server import Options, serve
from directpv_cli.reaching.session import hushed
from directpv_cli.reading.settings import settings
from directpv_cli.showing.ages import age_text
from directpv_cli.showing.terminal.lines import fail, plain, say
from directpv_common.protocol.errors import DirectPVError

OPENING: Final = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">\n'
OPENED: Final = "Opened in the browser; if it shows nothing, open this address in it"
"""Browsers that are confined may not read files of others, not even those of their own user."""
OPEN: Final = "Open this address in a browser of this machine"
DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def console(options: Options, *, browser: bool) -> None:
    """Serve until interrupted; prints the address on standard output."""
    hushed()
    with _page() as page:

        def ready(url: str) -> None:
            sys.stdout.write(f"{url}\n")
            sys.stdout.flush()
            opened = browser and _open(page, url)
            say(f"{OPENED if opened else OPEN}; it works once. Ctrl-C ends the console")
            settings.quiet = True  # what verbs say goes to the pages from now on

        try:
            why = asyncio.run(serve(options, ready, lambda: page.unlink(missing_ok=True)))
        except DirectPVError as error:
            fail(error.message)
        except OSError as error:
            fail(f"--port: cannot listen at port {options.port} of loopback: {error.strerror}")
        except KeyboardInterrupt:
            return
    settings.quiet = False
    if why == "idle":
        say(plain(f"Nobody looked at the console for {age_text(options.idle)}: it ended"))


@contextlib.contextmanager
def _page() -> Iterator[Path]:
    """Yield the path of a file that nobody else can read: other users see the arguments of programs, and the token
    shall not be among them.
    """
    with tempfile.TemporaryDirectory(prefix="directpv-console-") as directory:
        yield Path(directory, "open.html")


def _open(page: Path, url: str) -> bool:
    """Open the browser, if this is a desktop; text browsers would take the terminal."""
    if sys.platform == "linux" and not any(map(os.environ.get, DISPLAYS)):
        return False
    page.touch(mode=0o600)
    page.write_text(OPENING.format(url=url))
    with contextlib.suppress(webbrowser.Error):
        return webbrowser.open(page.as_uri())
    return False
