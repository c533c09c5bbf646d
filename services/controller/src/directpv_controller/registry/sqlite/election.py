"""Election by the lease row of the registry file: the epoch that fences every commit is in the same place.

A holder that died is replaced at once: its :class:`~.life_lock.LifeLock` is free then. One that hangs is replaced when
its lease expires.

Time is CLOCK_BOOTTIME, which all processes of the machine share, which nobody can set, and which goes on while the
machine sleeps. A lease of an earlier boot is over.
"""

import asyncio
import contextlib
import functools
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.epochs import may_be_followed, next_epoch
from directpv_common.protocol.errors import DirectPVError, Fenced
from directpv_controller.leading.port import RegistryDamaged, RegistryLost
from directpv_controller.registry.sqlite.file import Job, SqliteFile
from directpv_controller.registry.sqlite.life_lock import LifeLock

log = logging.getLogger(__name__)

LIFE_SECONDS: Final = 0.05
"""How often a standby looks whether the leader lives: one flock."""
MARGIN: Final = 0.1
"""Part of the lease that its holder does not use: covers the time between looking at the clock and acting on it."""


def now_ns() -> int:
    """Return nanoseconds since boot, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what identifies this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class SqliteElection:
    """One candidate. ``ttl`` is the length of a lease in seconds."""

    def __init__(self, file: SqliteFile, holder: str, ttl: float) -> None:
        self._file = file
        self._holder = holder
        self._ttl = ttl
        self._boot = boot_id()
        self._answered = 0.0
        self.life = LifeLock(file.path)

    @property
    def reachable(self) -> bool:
        """Whether the file answered within the last two leases."""
        return time.monotonic() - self._answered < 2 * self._ttl

    async def campaign(self) -> "SqliteLease":
        """Wait until this process leads; see :class:`~directpv_controller.leading.port.Election`."""
        while True:
            asked = now_ns()
            try:
                epoch = await self.ask(functools.partial(self._take, asked=asked))
            except (RegistryLost, RegistryDamaged):
                raise
            except (DirectPVError, TimeoutError) as error:
                log.warning("election failed", extra={"error": str(error) or "no answer in time"})
                epoch = 0
            if epoch:
                return SqliteLease(self, self._holder, epoch, self._ttl, asked)
            await self._pause()

    async def _pause(self) -> None:
        """Wait a third of a lease, or until the holder's life lock is seen free."""
        until = time.monotonic() + self._ttl / 3
        while time.monotonic() < until:
            await asyncio.sleep(LIFE_SECONDS)
            with contextlib.suppress(OSError):
                if self.life.is_free():
                    return

    async def ask(self, job: Job) -> Any:
        """Run ``job`` on the file, waiting a third of a lease at most."""
        async with timeout(self._ttl / 3):
            result = await self._file.submit(job)
        self._answered = time.monotonic()
        return result

    def _take(self, connection: sqlite3.Connection, asked: int) -> int:
        """Take the lease if nobody holds it; return the new epoch, or 0.

        The epoch follows the calendar where that is ahead, so that it grows even when an old copy of the file is
        restored: nodes would refuse the orders of an epoch that is lower than one they have seen.
        """
        row = connection.execute("SELECT holder, epoch, boot, expires, locked FROM lease").fetchone()
        locked = self.lock()
        dead = row is not None and bool(row[4]) and locked
        if row is not None and row[2] == self._boot and row[3] > now_ns() and not dead:
            self.life.release()
            return 0
        if row is not None and not may_be_followed(row[1]):
            log.error("the lease has an epoch that is nobody's; it is ignored", extra={"found": row[1]})
        epoch = next_epoch(row[1] if row else 0)
        expires = asked + int(self._ttl * 1e9)
        values = (self._holder, epoch, self._boot, expires, locked)
        connection.execute("REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?)", values)
        return epoch

    def lock(self) -> bool:
        """Try to hold the life lock; without it, the lease alone decides."""
        try:
            return self.life.take()
        except OSError as error:
            log.warning("no life lock", extra={"error": str(error)})
            return False


class SqliteLease:
    """Leadership of one epoch."""

    def __init__(self, election: SqliteElection, holder: str, epoch: int, ttl: float, asked: int) -> None:
        self.epoch = epoch
        self.holder = holder
        self._election = election
        self._ttl = ttl
        self._until = 0
        self._over = False
        """Given back, or taken by somebody else."""
        self._extend(asked)

    def _extend(self, asked: int) -> None:
        """Lead on from ``asked``, when the renewal was begun; what has run out meanwhile stays so."""
        if not self._over and (self.valid or not self._until):
            self._until = asked + int(self._ttl * (1 - MARGIN) * 1e9)

    @property
    def valid(self) -> bool:
        """Whether the lease cannot have expired yet."""
        return now_ns() < self._until

    async def keep(self) -> str:
        """Renew every third of the lease; return why leadership is over."""
        while self.valid:
            await asyncio.sleep(self._ttl / 3)
            asked = now_ns()
            if not self.valid:  # the process was stopped: what it decided meanwhile was never committed
                break
            try:
                await self._election.ask(functools.partial(self._renew, asked=asked))
            except (Fenced, RegistryLost, RegistryDamaged) as error:
                self._until, self._over = 0, True
                return error.message
            except (DirectPVError, TimeoutError) as error:
                log.warning("lease not renewed", extra={"error": str(error) or "no answer in time"})
            else:
                self._extend(asked)
        return "the lease could not be renewed in time"

    def _renew(self, connection: sqlite3.Connection, asked: int) -> None:
        self.require(connection)
        locked = self._election.lock()
        connection.execute("UPDATE lease SET expires = ?, locked = ?", (asked + int(self._ttl * 1e9), locked))

    def require(self, connection: sqlite3.Connection) -> None:
        """Refuse, inside the transaction that would write, unless this lease is the current one.

        Raises:
            Fenced: Somebody else has taken over.
        """
        row = connection.execute("SELECT holder, epoch FROM lease").fetchone()
        if row != (self.holder, self.epoch):
            raise Fenced(f"epoch {self.epoch} of {self.holder} is over; the lease is {row}")

    async def release(self) -> None:
        """Let somebody else lead at once."""
        self._until, self._over = 0, True
        try:
            await self._election.ask(self._give_up)
        except (DirectPVError, TimeoutError) as error:
            log.info("lease not released; it expires by itself", extra={"error": str(error) or "no answer in time"})
        finally:
            self._election.life.release()

    def _give_up(self, connection: sqlite3.Connection) -> None:
        self.require(connection)
        connection.execute("UPDATE lease SET expires = 0")
