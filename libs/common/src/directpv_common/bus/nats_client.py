"""nats-py's client without the faults that we found in it; each is shown by a test in ``tests/integration/common``."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from typing import Any, Final

from directpv_common.bus import heeding, lean_nats  # noqa: F401

# isort: split
import nats.aio.client
import nats.errors

from directpv_common.access.nkey import Nkey
from directpv_common.bus.short_ways import ShortWays
from directpv_common.bus.transport import Transport
from directpv_common.bus.trust import Trust

vars(nats.aio.client)["TcpTransport"] = Transport  # the client makes its connections itself

PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"
CANCEL_SECONDS: Final = 0.05
"""Before a task is cancelled once more that has lost its cancellation."""
CANCEL_TRIES: Final = 40
"""What then still works has no connection any more, and gets none."""
_HEADERS_BEGIN: Final = len("NATS/1.0\r\n\r\n")
_HEADER_FRAME: Final = len(": \r\n")


class NatsClient(ShortWays):
    """The client, without ten faults of it (nats-py 2.16).

    It compares the payload alone with what the server takes. The server counts headers too, and closes the connection
    for good.

    A flush that is cancelled, or that ends without an answer in time, leaves its future behind. The server's answer
    comes all the same, sets that future once more, and the error ends the task that reads: connected, but deaf until
    the pings find out.

    Its flush asks the server for an answer before it sends what waits to be sent, so that the answer says nothing.

    A server that hangs up instead of welcoming it has welcomed it, it thinks: NATS does so while it waits for those who
    decide on who may come in.

    A server that takes its time to welcome it asks meanwhile whether it is still there; it takes that for no welcome.

    Its inboxes can be guessed by who has seen one; ours are chance, for who can guess one could answer for others.

    An attempt to reconnect that fails halfway leaves its connection open; the next one replaces it, and only the
    garbage collector closes it.

    Whoever is cancelled while it gets what it asked for, or while it connects, may go on instead: see :mod:`.heeding`.

    A welcome that no server of NATS gives, from what listens at the address for a while, ends all attempts to connect
    and to reconnect for good.

    A client that is closed while it reconnects may lose the cancellation of that attempt (asyncio.wait_for of Python
    3.11 does): it is connected again a moment later, for ever, with all its subscriptions, though nobody has it.
    """

    def __init__(self) -> None:
        """See :meth:`nats.aio.client.Client.connect`."""
        super().__init__()
        self._nuid: Any = _Chance()
        self.trust: Trust | None = None
        """What servers must show; None: nothing."""
        self._ended = False

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish, or raise MaxPayloadError if it does not fit with its headers."""
        size = len(payload)
        if headers:
            size += _HEADERS_BEGIN + sum(len(k) + len(v.encode()) + _HEADER_FRAME for k, v in headers.items())
        if size > self.max_payload:
            raise nats.errors.MaxPayloadError
        await super().publish(subject, payload, reply, headers)

    def identify(self, nkey: Nkey) -> None:
        """Show servers who we are; the library itself would need a package that has no wheels for this."""
        self._auth_configured, self._public_nkey = True, nkey.public

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]

    async def end(self) -> None:
        """End whatever still works for this client, which was closed, or could not be; it never connects again."""
        self._ended = True
        self.options["allow_reconnect"] = False
        self.hang_up()  # at once: this may be cancelled, too
        try:
            for _ in range(CANCEL_TRIES):
                tasks = {task for task in self._tasks() if task is not None and not task.done()}
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        finally:
            self.hang_up()

    def _tasks(self) -> "tuple[asyncio.Task[Any] | None, ...]":
        return self._reconnection_task, self._reading_task, self._ping_interval_task, self._flusher_task

    async def _connect_to_server(self, s: Any) -> None:
        self.hang_up()
        if not self._ended:
            await super()._connect_to_server(s)
        if self._ended:
            self.hang_up()
            raise asyncio.CancelledError

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.trust is not None and initial_connection:
            await self.trust.require(info)
        await super()._process_info(info, initial_connection)

    async def _process_connect_init(self) -> None:
        try:
            with self._answering_pings():
                await super()._process_connect_init()
        except OSError:  # errors of certificates are ValueErrors, too
            raise
        except (AttributeError, TypeError, ValueError, AssertionError) as error:
            raise nats.errors.Error(f"what listens there does not speak as a NATS server does: {error}") from error
        if not self.is_connected:
            for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
                if task is not None:
                    task.cancel()
            raise nats.errors.Error("the server hung up before it let us in")

    @contextlib.contextmanager
    def _answering_pings(self) -> Iterator[None]:
        """Answer what a server asks that waits for those who decide, and read on until it says something else."""
        transport: Any = self._transport
        readline = transport.readline

        async def line() -> bytes:
            while (read := await readline()) == PING:
                transport.write(PONG)
            return bytes(read)

        transport.readline = line
        try:
            yield
        finally:
            transport.readline = readline

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(PING)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


class _Chance:
    """Makes names as long as the client's own."""

    @staticmethod
    def next() -> bytearray:
        return bytearray(secrets.token_hex(11), "ascii")


@contextlib.contextmanager
def cancellation_heeded() -> Iterator[None]:
    """Raise a cancellation again that the client swallowed: it does so while it connects and flushes (nats-py 2.16)."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
