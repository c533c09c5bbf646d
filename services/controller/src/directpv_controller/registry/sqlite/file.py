"""One SQLite file and the thread that writes it: jobs that arrive during a commit go together in the next one."""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_controller.leading.port import OutcomeUnknown, RegistryDamaged, RegistryLost
from directpv_controller.registry.sqlite.lock_holder import described, writer_of

log = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
"""Runs inside a transaction. It may refuse with a DirectPVError as long as it has written nothing."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one decision writes. Rows that wait together are written as one: a row that is written twice, once."""

    require: Job
    """Refuses in the name of the lease; the same object for all that may go together."""
    drives: list[tuple[str, bytes | None]]
    """FSUUID and record; None removes the drive."""
    volumes: list[tuple[str, bytes | None]]
    """Name and record; None removes the volume."""
    notes: list[tuple[str, str | None]]
    """Key and value of what is kept beside them; None removes it."""


_Item = tuple[Job | Rows, asyncio.Future[Any]]

APPLICATION_ID: Final = 0x44507631
"""``DPv1``: tells our files from those of other programs. Source: SQLite, ``PRAGMA application_id``."""
SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 1.0
BATCH_AT_MOST: Final = 2_000
REPAIR: Final = "nothing was changed. Restore it from a copy, or move it away: a new one is filled from the drives"

_SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE lease (one INTEGER PRIMARY KEY CHECK (one = 1), holder TEXT NOT NULL, epoch INTEGER NOT NULL,"
    " boot TEXT NOT NULL, expires INTEGER NOT NULL, locked INTEGER NOT NULL)",
    "CREATE TABLE drives (fsuuid TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE volumes (name TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
)
_FULL: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CANTOPEN")
"""Errors after which nothing was written, or nothing that a later transaction does not overwrite."""


class SqliteFile:
    """The open file. Every method may be called from the event loop; only :meth:`open` blocks."""

    def __init__(self, path: Path, observe: Callable[[int, float], None]) -> None:
        """``observe`` is called, in the writing thread, with size and seconds of each batch."""
        self.path = path
        self.id = ""
        self._observe = observe
        self._jobs: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._inode = (0, 0)
        self._thread: threading.Thread | None = None
        self._closed = False

    # ---- opening and closing

    def open(self) -> None:
        """Open or create the file and start the thread.

        Raises:
            RegistryDamaged: It is no registry of ours, or of a later version, or broken.
            Unavailable: It cannot be opened or created; says why.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._connect()
        except OSError as error:
            raise Unavailable(f"registry {self.path}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self.translated(error) from error
        self._thread = threading.Thread(target=self._work, args=(connection,), daemon=True, name="registry")
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = self.connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
            self._inode = _inode(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect(self) -> sqlite3.Connection:
        """Return another connection, in autocommit mode, for use in one thread at a time."""
        return sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check whose file it is; lay out an empty one. One transaction, so that two processes may start at once."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty and application == 0:
                self._create(connection)
            elif application != APPLICATION_ID:
                raise RegistryDamaged(
                    f"registry {self.path}: this SQLite file belongs to another program; name another file"
                )
            elif version != SCHEMA_VERSION:
                raise RegistryDamaged(
                    f"registry {self.path}: has version {version}; this program understands {SCHEMA_VERSION}"
                )
            self.id = self._read_id(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _create(self, connection: sqlite3.Connection) -> None:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        facts = [("id", str(uuid.uuid4())), ("rebuilding", "yes")]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", facts)
        log.warning("new registry made", extra={"path": str(self.path)})

    def _read_id(self, connection: sqlite3.Connection) -> str:
        row = connection.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        if row is None:
            raise RegistryDamaged(f"registry {self.path}: its id is missing; restore the file from a copy")
        return str(row[0])

    async def close(self, within: float = 2.0) -> None:
        """Finish what is queued and close, unless the disk hangs for longer than ``within`` seconds."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join, within)

    # ---- jobs

    def submit(self, job: Job | Rows) -> asyncio.Future[Any]:
        """Queue ``job`` now; the future has its result once it is durable."""
        future = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(Unavailable(f"registry {self.path} is closed"))
        else:
            self._jobs.put((job, future))
        return future

    def _work(self, connection: sqlite3.Connection) -> None:
        """Run jobs until told to end: the thread."""
        running = True
        while running:
            batch: list[_Item] = []
            item = self._jobs.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= BATCH_AT_MOST:
                    break
                try:
                    item = self._jobs.get_nowait()
                except queue.Empty:
                    break
            running = item is not None
            if batch:
                self._run(connection, batch)
        connection.close()

    def _run(self, connection: sqlite3.Connection, batch: list[_Item]) -> None:
        begun = time.perf_counter()
        outcomes: list[tuple[asyncio.Future[Any], Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [pair for group in _together(batch) for pair in _outcomes(group, connection)]
            connection.execute("COMMIT")
            if _inode(self.path) != self._inode:
                raise RegistryLost(f"registry {self.path} was deleted or replaced")
        except Exception as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            failure = error if isinstance(error, DirectPVError) else self.translated(error)
            log.warning("commit failed", extra={"error": failure.message, "jobs": len(batch)})
            outcomes = [(future, failure) for _, future in batch]
        self._observe(len(batch), time.perf_counter() - begun)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            outcomes[0][0].get_loop().call_soon_threadsafe(_settle, outcomes)

    def translated(self, error: Exception) -> DirectPVError:
        """Return ours for an error of SQLite."""
        text = f"registry {self.path}: {error}"
        name = str(getattr(error, "sqlite_errorname", ""))
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return RegistryDamaged(f"{text}; {REPAIR}")
        if name.startswith("SQLITE_BUSY") and (pid := writer_of(self.path)):
            return Unavailable(f"{text} by {described(pid)}; let it go on, or end it")
        if name.startswith(_FULL):
            return Unavailable(text)
        return OutcomeUnknown(text)


def _together(batch: list[_Item]) -> list[list[_Item]]:
    """Split into runs of rows of one lease, and other jobs one by one; the order stays."""
    groups: list[list[_Item]] = []
    for item in batch:
        job, last = item[0], groups[-1][0][0] if groups else None
        if isinstance(job, Rows) and isinstance(last, Rows) and job.require == last.require:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _outcomes(group: list[_Item], connection: sqlite3.Connection) -> list[tuple[asyncio.Future[Any], Any]]:
    """Do the work of ``group`` and return each one's result, or the error by which all were refused."""
    first = group[0][0]
    result: Any = None
    try:
        if isinstance(first, Rows):
            _write(group, first.require, connection)
        else:
            result = first(connection)
    except DirectPVError as refusal:
        result = refusal
    return [(future, result) for _, future in group]


def _write(group: list[_Item], require: Job, connection: sqlite3.Connection) -> None:
    require(connection)
    drives: dict[str, bytes | None] = {}
    volumes: dict[str, bytes | None] = {}
    notes: dict[str, str | None] = {}
    for rows, _ in group:
        if isinstance(rows, Rows):
            drives.update(rows.drives)
            volumes.update(rows.volumes)
            notes.update(rows.notes)
    for changes, put, remove in (
        (drives, "REPLACE INTO drives VALUES (?, ?)", "DELETE FROM drives WHERE fsuuid = ?"),
        (volumes, "REPLACE INTO volumes VALUES (?, ?)", "DELETE FROM volumes WHERE name = ?"),
        (notes, "REPLACE INTO meta VALUES (?, ?)", "DELETE FROM meta WHERE key = ?"),
    ):
        kept = [item for item in changes.items() if item[1] is not None]
        removed = [(name,) for name, record in changes.items() if record is None]
        if kept:
            connection.executemany(put, kept)
        if removed:
            connection.executemany(remove, removed)


def _settle(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """Tell those who wait; runs on the loop, once for the whole batch."""
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, DirectPVError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _inode(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
