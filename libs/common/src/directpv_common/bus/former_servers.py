"""While servers of the version before are in a cluster's hub: they have no TLS between each other.

NATS has TLS between all servers or between none, and servers are replaced one by one. So a server that finds one of
the version before joins it without TLS, and begins anew, with TLS, as soon as there is none any more: all of them at
the same time, for they all look. Whoever is asked greets before TLS begins; somebody between can so keep servers from
TLS between each other. That is said on standard error, and the version after this one will not look.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Final, NamedTuple

from directpv_common.bus.trust import offers

GREET_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0
START_SECONDS: Final = 3.0
"""A server that finds nobody looks so long: of a new hub all begin at once."""
ABSENT_SECONDS: Final = 300.0
"""After so long without any server of the version before, one that is missing is not waited for."""
END_SECONDS: Final = 10.0
PR_SET_PDEATHSIG: Final = 1


class Seen(NamedTuple):
    """What is found of the other servers."""

    former: bool
    """At least one is of the version before."""
    answered: int
    """So many greeted."""


def look(others: Sequence[str]) -> Seen:
    """Ask all ``others`` (``host:port`` of clients) at once; each has a second."""
    if not others:
        return Seen(former=False, answered=0)
    with ThreadPoolExecutor(len(others)) as pool:
        greetings = [found for found in pool.map(_greeting, others) if found is not None]
    return Seen(former=not all(map(offers, greetings)), answered=len(greetings))


def found_at_start(others: Sequence[str], within: float = START_SECONDS) -> bool:
    """Tell whether a server of the version before is there."""
    end = time.monotonic() + within
    while True:
        seen = look(others)
        if seen.answered or not others or time.monotonic() >= end:
            return seen.former
        time.sleep(LOOK_SECONDS / 4)


class Patience:
    """Decides when servers have TLS between each other from now on."""

    def __init__(self, others: int, now: float) -> None:
        self._others, self._since = others, now

    def over(self, seen: Seen, now: float) -> bool:
        """Tell whether it is time, by what was seen last."""
        if seen.former:
            self._since = now
            return False
        return seen.answered == self._others or now - self._since > ABSENT_SECONDS


def run_until_gone(command: Sequence[str], others: Sequence[str]) -> int | None:
    """Run a server without TLS between servers until there is none of the version before; signals are handed on to it.

    Returns:
        The status with which it ended by itself, or because we were told to; None: it was ended to begin anew.
    """
    _say("a server of the version before is there: no TLS between servers until it is replaced")
    with subprocess.Popen(command, preexec_fn=_dies_with(os.getpid())) as server:
        told = _handing_on(server)
        patience = Patience(len(others), time.monotonic())
        while True:
            try:
                return server.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if not patience.over(look(others), time.monotonic()):
                    continue
            _say("all servers are of this version: beginning anew, with TLS between servers")
            status = _ended(server)
            return status if told() else None


def _say(text: str) -> None:
    print(f"directpv-nats: {text}", file=sys.stderr, flush=True)  # noqa: T201 - beside what nats-server says there


def _handing_on(server: "subprocess.Popen[bytes]") -> Callable[[], bool]:
    """Hand signals on; return what tells whether we were told to end."""
    ends: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            ends.append(number)
        server.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, hand_on)
    return lambda: bool(ends)


def _ended(server: "subprocess.Popen[bytes]") -> int:
    server.terminate()
    try:
        return server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


def _dies_with(parent: int) -> Callable[[], None]:
    """Return what has a process killed when ``parent``, which forked it, ends however. Source: prctl(2)."""
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _greeting(where: str) -> dict[str, Any] | None:
    """Return what a server says first; None if it says nothing that can be understood. Source: NATS protocol, INFO."""
    host, _, port = where.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), GREET_SECONDS) as connection,
            connection.makefile("rb") as said,
        ):
            found = json.loads(said.readline(1 << 16).removeprefix(b"INFO "))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def others_of(servers: Iterable[str], own: Iterable[str]) -> list[str]:
    """Return those of ``servers`` (``host:port``) that are not called by one of our ``own`` names."""
    mine = set(own)
    return [each for each in servers if each.rpartition(":")[0] not in mine]
