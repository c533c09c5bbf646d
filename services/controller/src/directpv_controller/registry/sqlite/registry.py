"""The registry in one SQLite file: WAL, ``synchronous = FULL``, group commit, fenced by the lease row.

Source: SQLite documentation, "Write-Ahead Logging": with FULL, a transaction is durable once COMMIT returns.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from directpv_common.errors import Unavailable
from directpv_common.messages import DriveRecord, VolumeRecord
from directpv_common.wire import encode
from directpv_controller.core.model import Snapshot, Writes
from directpv_controller.leading.collector import without_collector
from directpv_controller.leading.port import RegistryDamaged
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.port import Format
from directpv_controller.registry.sqlite.election import SqliteElection, SqliteLease
from directpv_controller.registry.sqlite.file import REPAIR, Rows, SqliteFile

T = TypeVar("T")

OPEN_TRIES: Final = 5
OPEN_PAUSE: Final = 0.2


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
                return Snapshot(
                    drives=self._records(connection, "SELECT fsuuid, record FROM drives ORDER BY fsuuid", DriveRecord),
                    volumes=self._records(connection, "SELECT name, record FROM volumes ORDER BY name", VolumeRecord),
                )
        except sqlite3.Error as error:
            raise self._file.translated(error) from error
        finally:
            connection.close()

    def _records(self, connection: sqlite3.Connection, query: str, kind: type[T]) -> list[T]:
        decode = msgspec.json.Decoder(kind).decode
        records: list[T] = []
        for key, data in connection.execute(query):
            try:
                records.append(decode(data))
            except msgspec.DecodeError as error:
                raise RegistryDamaged(
                    f"registry {self._file.path}: the record of {key} cannot be read ({error}); {REPAIR}"
                ) from error
        return records

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
        drives = [(record.fsuuid, encode(record)) for record in writes.drives]
        volumes: list[tuple[str, bytes | None]] = [(record.name, encode(record)) for record in writes.volumes]
        volumes += [(record.name, None) for record in writes.removed]
        return self._file.submit(Rows(lease.require, drives, volumes))

    def show(self, volumes: Iterable[VolumeRecord]) -> None:
        """Nothing to do: only the controller reads the file."""


def _rebuilding(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM meta WHERE key = 'rebuilding'").fetchone() is not None


class SqliteStore:
    """Registry and election on one open file."""

    read_pod: None = None

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
