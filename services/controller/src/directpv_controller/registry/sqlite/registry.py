"""The registry in one SQLite file: WAL, ``synchronous = FULL``, group commit, fenced by the lease row.

Source: SQLite documentation, "Write-Ahead Logging": with FULL, a transaction is durable once COMMIT returns.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.messages import DriveRecord, GivenUpNode, RetiredDrive, VolumeRecord
from directpv_common.protocol.wire import encode
from directpv_controller.core.placing.model import Snapshot, Unreadable, Writes
from directpv_controller.core.reserving.sharing import Shared
from directpv_controller.leading.collector import without_collector
from directpv_controller.leading.port import RegistryDamaged
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.port import Format
from directpv_controller.registry.sqlite.election import SqliteElection, SqliteLease
from directpv_controller.registry.sqlite.file import REPAIR, Rows, SqliteFile

T = TypeVar("T")

DAMAGED_FROM: Final = 10
"""So many bad records, if they are most of all, are a damaged registry, which people must look at."""
OPEN_TRIES: Final = 5
OPEN_PAUSE: Final = 0.2


class _Table(NamedTuple):
    """Where records of one kind are."""

    noun: str
    key: str
    record: str
    rows: str


_DRIVES: Final = _Table("drive", "fsuuid", "record", "FROM drives ORDER BY fsuuid")
_VOLUMES: Final = _Table("volume", "name", "record", "FROM volumes ORDER BY name")
_RETIRED: Final = _Table("retired drive", "key", "value", "FROM meta WHERE key LIKE 'retired/%' ORDER BY key")
_NODES: Final = _Table("node that was given up", "key", "value", "FROM meta WHERE key LIKE 'given-up/%' ORDER BY key")
"""In a table that earlier versions have too, and overlook there."""


class _Place(msgspec.Struct):
    """What of a volume's record says how much room it takes, and where."""

    fsuuid: str = ""
    capacity: int = 0


class SqliteRegistry:
    """See :class:`~directpv_controller.leading.port.Registry`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    @property
    def id(self) -> str:
        """Made once with the file."""
        return self._file.id

    async def load(self) -> Snapshot:
        """Read everything, in a thread and over a connection of its own: renewals of the lease go on meanwhile."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> Snapshot:
        connection = self._file.connect()
        try:
            with without_collector():
                connection.execute("BEGIN")
                shared = Shared()
                drives, bad_drives = _records(connection, _DRIVES, DriveRecord, shared.drive)
                volumes, bad_volumes = _records(connection, _VOLUMES, VolumeRecord, shared.volume)
                retired, _ = _records(connection, _RETIRED, RetiredDrive, lambda _: None)
                nodes, _ = _records(connection, _NODES, GivenUpNode, lambda _: None)
        except sqlite3.Error as error:
            raise self._file.translated(error) from error
        finally:
            connection.close()
        bad = [*bad_drives, *bad_volumes]
        if len(bad) >= DAMAGED_FROM and len(bad) > len(drives) + len(volumes):
            raise RegistryDamaged(
                f"registry {self._file.path}: most records cannot be read, for instance that of {bad[0].name} "
                f"({bad[0].why}); {REPAIR}"
            )
        return Snapshot(drives, volumes, unreadable=bad, retired=retired, nodes=nodes)

    async def rebuilding(self) -> bool:
        """Tell whether the nodes have not yet had the time to report their drives to this registry."""
        value = await self._file.submit(_rebuilding)
        return bool(value)

    async def rebuilt(self, lease: SqliteLease) -> None:
        """Note that they had."""

        def job(connection: sqlite3.Connection) -> None:
            lease.require(connection)
            connection.execute("DELETE FROM meta WHERE key = 'rebuilding'")

        await self._file.submit(job)

    def commit(self, writes: Writes, lease: SqliteLease) -> Awaitable[None]:
        """Queue ``writes`` at once, and return what waits for them to be durable."""
        drives: list[tuple[str, bytes | None]] = [(record.fsuuid, encode(record)) for record in writes.drives]
        drives += [(record.fsuuid, None) for record in writes.gone]
        notes: list[tuple[str, str | None]]
        notes = [(f"retired/{each.fsuuid}", encode(each).decode()) for each in writes.retired]
        notes += [(f"retired/{each.fsuuid}", None) for each in writes.settled]
        notes += [(f"given-up/{each.name}", encode(each).decode() if each.since else None) for each in writes.nodes]
        volumes: list[tuple[str, bytes | None]] = [(record.name, encode(record)) for record in writes.volumes]
        volumes += [(record.name, None) for record in writes.removed]
        return self._file.submit(Rows(lease.require, drives, volumes, notes))

    def show(self, volumes: Iterable[VolumeRecord]) -> None:
        """Nothing to do: only the controller reads the file."""


def _records(
    connection: sqlite3.Connection, table: _Table, kind: type[T], share: Callable[[T], None]
) -> tuple[list[T], list[Unreadable]]:
    """Return the records that can be read, and the others: one bad row must not stop all others.

    Keys are read only if there are such: a million of them take half a second.
    """
    decode = msgspec.json.Decoder(kind).decode
    records: list[T] = []
    bad: dict[int, tuple[bytes, str]] = {}
    for number, (data,) in enumerate(connection.execute(f"SELECT {table.record} {table.rows}")):
        try:
            record = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
            bad[number] = (data, str(error))
        else:
            share(record)
            records.append(record)
    keys = enumerate(connection.execute(f"SELECT {table.key} {table.rows}")) if bad else ()
    return records, [_unreadable(table.noun, key, *bad[number]) for number, (key,) in keys if number in bad]


def _unreadable(noun: str, key: str, data: bytes, why: str) -> Unreadable:
    """Return what can be told of a bad row: at least its key."""
    try:
        found = msgspec.json.decode(data, type=_Place)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        found = _Place()
    return Unreadable(noun, str(key), why, found.fsuuid, found.capacity)


def _rebuilding(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM meta WHERE key = 'rebuilding'").fetchone() is not None


class SqliteStore:
    """Registry and election on one open file."""

    read_pod: None = None
    read_pv: None = None
    forget_key: None = None

    def __init__(self, file: SqliteFile, holder: str, ttl: float) -> None:
        self.registry: Any = SqliteRegistry(file)
        self.election: Any = SqliteElection(file, holder, ttl)

    def attending(self, term: Term, nodes: Nodes, init_devices: Format) -> contextlib.AbstractAsyncContextManager[None]:
        """Nothing to do: nobody else writes the file."""
        return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def open_store(
    path: Path, *, holder: str, ttl: float, observe: Callable[[int, float], None]
) -> AsyncIterator[SqliteStore]:
    """Open the file, making it if it is missing, while the block runs.

    Args:
        path: The file; its directory is made if it is missing.
        holder: Identifies this process in the lease.
        ttl: Length of a lease in seconds.
        observe: Gets size and seconds of each commit; called in another thread.

    Raises:
        RegistryDamaged: The file is no registry, or broken; it is left as it is.
        Unavailable: It cannot be opened.
    """
    file = SqliteFile(path, observe)
    await _open(file)
    store = SqliteStore(file, holder, ttl)
    try:
        yield store
    finally:
        await file.close()
        store.election.life.release()


async def _open(file: SqliteFile) -> None:
    """Open, trying again while another process lays out the same new file."""
    for left in reversed(range(OPEN_TRIES)):
        try:
            return await asyncio.to_thread(file.open)
        except Unavailable:
            if not left:
                raise
        await asyncio.sleep(OPEN_PAUSE)
    return None
