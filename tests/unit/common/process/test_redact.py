"""Nobody reads a password of the bus in a log, an error or a message."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from directpv_common.bus.connecting import connect_bus
from directpv_common.process.redact import redacted
from directpv_common.protocol.errors import Unavailable

SECRET = "s3cr3t"
URLS = [
    f"nats://leader:{SECRET}@127.0.0.1:1",
    f"nats://{SECRET}@127.0.0.1:1",
    f"tls://leader:a/{SECRET}@127.0.0.1:1",
    f"nats://leader:p@{SECRET}@127.0.0.1:1",
    f'nats://leader:"{SECRET}"@127.0.0.1:1',
    f"nats://127.0.0.1:1,nats://leader:{SECRET}@127.0.0.1:2",
]


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_shown_without_user_and_password(url: str) -> None:
    shown = redacted(f"no answer from {url} yet")

    assert SECRET not in shown
    assert "leader" not in shown
    assert "127.0.0.1:1" in shown


@pytest.mark.parametrize(
    "text", ["nats://127.0.0.1:4222", "mail me@example.com", "nats://h:1,me@example.com", "http://h/x and y@z", "", "@"]
)
def test_what_holds_no_password_is_left_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_a_long_hostile_text_is_looked_at_in_time() -> None:
    begun = time.process_time()
    redacted("://" * 6_000 + " @")
    assert time.process_time() - begun < 30, "its cost grows with its length only"


@pytest.mark.parametrize("url", URLS[:2])
async def test_a_bus_that_cannot_be_reached_is_told_without_the_password(url: str) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as refused:
        async with connect_bus(url, name="test", prefix="directpv.v1", within=0.2):
            pass

    assert SECRET not in str(refused.value)


LOGGING = """
import logging, os
from directpv_common.process.logs import configure_logging
configure_logging()
log, url = logging.getLogger("test"), os.environ["URL"]
log.warning("no server", extra={"urls": url, "more": [url, {"url": url}]})
log.warning("no server at %s", url)
try:
    raise OSError(url)
except OSError:
    log.exception("no server")
logging.getLogger("nats").error(url)
"""


@pytest.mark.parametrize("url", URLS)
def test_no_line_of_a_log_shows_a_password(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], env={**os.environ, "URL": url}, capture_output=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert len(lines) == 4
    assert SECRET not in done.stderr
    assert "127.0.0.1:1" in lines[0]["urls"]


def test_no_line_on_a_terminal_shows_a_password(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        subprocess.run([sys.executable, "-c", LOGGING], env={**os.environ, "URL": URLS[0]}, stderr=theirs, timeout=60)
        os.close(theirs)
        shown = b""
        while b"nats: " not in shown:
            shown += terminal.read(65536)

    assert SECRET.encode() not in shown
    assert b"***@127.0.0.1:1" in shown
