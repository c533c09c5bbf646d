"""Tells at once when a block device comes, goes or changes; only a hint, the caller's scan is the truth.

Traps that it answers: an overflowing socket fails at each poll until its error is taken, and loses more events without
an error until its queue is empty; events of udev reach the network namespace of udev alone; those of the kernel reach
all, but come before the database is written.
"""

import asyncio
import contextlib
import logging
import math
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyudev

log = logging.getLogger(__name__)

OnChange = Callable[[str | None], None]

BUFFER_BYTES: Final = 128 * 1024 * 1024
"""A shelf of a thousand disks that is switched on overflows anything much smaller."""
PER_TICK: Final = 256
"""Events taken before others on the loop get their turn."""
MOST_ERRORS: Final = 3
"""In one turn; a socket that keeps failing is replaced."""
RETRY_SECONDS: Final = 1.0
_UDEV_CONTROL: Final = Path("/run/udev/control")
_UDEV_QUEUE: Final = Path("/run/udev/queue")
"""There while udevd has events to work on. Source: systemd, ``src/udev/udevd.c`` and ``udevadm settle``."""
_POLL_SECONDS: Final = 0.005


async def settled(at_most: float) -> None:
    """Wait until udev has worked on all events so far, for ``at_most`` seconds; so long where only the kernel is heard.

    Events come in bursts: of one device, of its partitions, of the paths to one disk. What udev has not finished with
    must not be looked at too soon, and those of the kernel come before it has begun.
    """
    if best_source() != "udev":
        await asyncio.sleep(at_most)
        return
    for _ in range(math.ceil(at_most / _POLL_SECONDS)):
        await asyncio.sleep(_POLL_SECONDS)
        if not _UDEV_QUEUE.exists():
            return


class UdevMonitor:
    """Listens for block device events of udev, or of the kernel where udev's cannot be heard."""

    def __init__(self, source: str = "", *, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Take settings; nothing is opened before :meth:`run`.

        Args:
            source: ``udev``, ``kernel``, or empty for the best that can be heard here.
            buffer_bytes: Receive buffer of the socket.
        """
        self._source = source
        self._buffer_bytes = buffer_bytes
        self._failed = asyncio.Event()
        self._behind = False
        self.lost = 0
        """How often events were lost and everything had to be scanned."""
        self.received = 0
        """Events seen."""

    async def run(self, on_change: OnChange) -> None:
        """Listen until cancelled; opens the socket again if it breaks.

        Args:
            on_change: Called on the loop with the kernel name of a device about which something happened, which
                need not exist any more; with None when anything may have happened: at the start, and when events
                were lost. It must only take note: events of one device come in bursts.
        """
        while True:
            self._failed.clear()
            try:
                monitor = self._open()
            except OSError as error:
                log.error("cannot listen for device events", extra={"error": str(error)})
                on_change(None)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._listen(monitor, on_change)
            await asyncio.sleep(RETRY_SECONDS)

    def _open(self) -> Any:
        source = self._source or best_source()
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
        monitor.filter_by("block")
        with contextlib.suppress(OSError):  # without CAP_NET_ADMIN the system's limit holds
            monitor.set_receive_buffer_size(self._buffer_bytes)
        monitor.start()
        log.info("listening for device events", extra={"source": source})
        return monitor

    async def _listen(self, monitor: Any, on_change: OnChange) -> None:
        """Report events until the socket is broken for good."""
        loop = asyncio.get_running_loop()
        descriptor = monitor.fileno()
        loop.add_reader(descriptor, self._drain, monitor, on_change)
        try:
            on_change(None)
            await self._failed.wait()
        finally:
            loop.remove_reader(descriptor)

    def _drain(self, monitor: Any, on_change: OnChange) -> None:
        """Take what is there, up to a bound; the loop calls again if more is left."""
        errors = 0
        for _ in range(PER_TICK):
            try:
                device = monitor.poll(timeout=0)
            except OSError as error:
                errors += 1
                self._lose(error)
                if errors > MOST_ERRORS or not _clear_error(monitor.fileno()):
                    asyncio.get_running_loop().remove_reader(monitor.fileno())
                    self._failed.set()
                    return
                continue
            if device is None:
                self._caught_up(on_change)
                return
            self.received += 1
            on_change(device.sys_name.replace("!", "/"))

    def _lose(self, error: OSError) -> None:
        self.lost += 1
        self._behind = True
        log.warning("device events lost", extra={"error": str(error), "lost": self.lost})

    def _caught_up(self, on_change: OnChange) -> None:
        """Ask for a scan if events were lost: only now, for until the queue is empty more are lost without an error."""
        if self._behind:
            self._behind = False
            on_change(None)


def best_source() -> str:
    """Return ``udev`` if a udevd runs and its events reach this network namespace, else ``kernel``."""
    if not _UDEV_CONTROL.exists():
        return "kernel"
    try:
        return "udev" if os.readlink("/proc/self/ns/net") == os.readlink("/proc/1/ns/net") else "kernel"
    except OSError:
        return "udev"


def _clear_error(descriptor: int) -> bool:
    """Take the pending error off a socket; False if the socket is of no more use."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as same:
            same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError:
        return False
    return True
