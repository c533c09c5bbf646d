"""The tests' side of a guest's hand."""

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

PORT = 7000
LIMIT = 1 << 28
GRACE_SECONDS = 30.0
"""How much longer than the guest itself the tests wait for it."""


class GuestError(AssertionError):
    """A command in a guest failed; carries what it said."""


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str


class Hand:
    """Does things in one guest; each call has a connection of its own, so that one that hangs holds up no other."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, patience: float = 60.0, **request: Any) -> dict[str, Any]:
        """Send one request and return its reply; raises GuestError if the guest could not do it."""
        async with asyncio.timeout(patience + GRACE_SECONDS):
            reader, writer = await asyncio.open_connection(self.address, PORT, limit=LIMIT)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                reply: dict[str, Any] = json.loads(await reader.readline() or b'{"failed": "guest has ended"}')
            finally:
                writer.close()
        if "failed" in reply:
            raise GuestError(f"{self.address}: {request.get('do')}: {reply['failed']}")
        return reply

    async def attempt(self, *argv: str, input: bytes = b"", within: float = 60.0) -> Done:
        """Run a command; whatever its exit status, return it."""
        data = base64.b64encode(input).decode()
        return Done(**await self.ask(within, do="run", argv=argv, input=data, within=within))

    async def run(self, *argv: str, input: bytes = b"", within: float = 60.0) -> str:
        """Run a command and return its standard output, stripped; raises GuestError unless it succeeds."""
        done = await self.attempt(*argv, input=input, within=within)
        if done.code:
            raise GuestError(f"{' '.join(argv)!r} ended with {done.code}: {done.err or done.out}")
        return done.out.strip()

    async def sh(self, script: str, within: float = 60.0) -> str:
        """Run a shell script that ends at its first failure."""
        return await self.run("sh", "-ec", script, within=within)

    async def start(self, name: str, *argv: str) -> int:
        """Start a program that goes on; its output is in ``/run/logs/<name>.log``."""
        return int((await self.ask(do="start", name=name, argv=argv))["pid"])

    async def signal(self, name: str, number: int) -> None:
        """Send a signal to a program that was started."""
        await self.ask(do="signal", name=name, number=int(number))

    async def wait(self, name: str, within: float = 60.0) -> int:
        """Wait until a program has ended; return its exit status."""
        return int((await self.ask(within, do="wait", name=name, within=within))["code"])

    async def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        await self.ask(do="write", path=path, data=base64.b64encode(data).decode())

    async def read(self, path: str, offset: int = 0) -> bytes:
        """Return a file's content from ``offset``."""
        return base64.b64decode((await self.ask(do="read", path=path, offset=offset))["data"])

    async def reach(self, path: str, within: float) -> None:
        """Wait until somebody listens at a unix socket; raises GuestError if nobody does within so many seconds."""
        await self.ask(within, do="reach", path=path, within=within)

    async def forward(self, path: str) -> int:
        """Return the TCP port of the guest that leads to its unix socket ``path``."""
        return int((await self.ask(do="forward", path=path))["port"])

    async def exists(self, path: str) -> bool:
        """Tell whether a path exists in the guest."""
        return (await self.attempt("test", "-e", path)).code == 0
