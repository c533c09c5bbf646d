"""Speaks with a running QEMU: one JSON object per line, over a unix socket. Source: QEMU Machine Protocol."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, Final

REPLY_SECONDS: Final = 30.0


class QmpError(AssertionError):
    """QEMU refused a command."""


class Qmp:
    """One connection."""

    def __init__(self) -> None:
        self._replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def connect(self, path: Path) -> None:
        """Connect to the socket ``path``, and leave the negotiation mode."""
        reader, self._writer = await asyncio.open_unix_connection(path, limit=1 << 24)
        await reader.readline()
        self._listening = asyncio.create_task(self._listen(reader))
        await self.do("qmp_capabilities")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take in what QEMU says, until it ends."""
        assert self._writer is not None
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                await self._take(json.loads(line))
        self._writer.close()

    async def _take(self, message: dict[str, Any]) -> None:
        if "event" not in message:
            self._replies.put_nowait(message)
            return
        async with self._news:
            self._events.append(message)
            self._news.notify_all()

    async def do(self, command: str, /, **arguments: Any) -> Any:
        """Run a command; underscores in the names of arguments stand for hyphens."""
        assert self._writer is not None
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._writer.write(json.dumps({"execute": command, "arguments": given}).encode() + b"\n")
        async with asyncio.timeout(REPLY_SECONDS):
            reply = await self._replies.get()
        if "error" in reply:
            raise QmpError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    async def event(self, kind: str, within: float = REPLY_SECONDS, **data: Any) -> None:
        """Wait for an event with these data, and forget it."""

        def here() -> dict[str, Any] | None:
            matching = (e for e in self._events if e["event"] == kind and data.items() <= e["data"].items())
            return next(matching, None)

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(here)
            found = here()
            assert found is not None
            self._events.remove(found)
