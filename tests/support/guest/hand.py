"""Runs in a guest, as its first process: does what the tests ask for, over TCP.

One JSON line per request, one per reply; a connection may ask as often as it likes. Bytes travel as base64.

| do        | takes                                    | gives               |
|-----------|------------------------------------------|---------------------|
| ping      |                                          |                     |
| run       | argv, input, within                      | code, out, err      |
| start     | name, argv                               | pid                 |
| signal    | name, number                             |                     |
| wait      | name, within                             | code                |
| write     | path, data                               |                     |
| read      | path, offset                             | data                |
| reach     | path (of a unix socket), within          |                     |
| forward   | path (of a unix socket)                  | port (TCP)          |
"""

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Reply = dict[str, Any]
LOGS = Path("/run/logs")
CHUNK = 1 << 16
LOOK_SECONDS = 0.05


class Hand:
    """Commands and long-running programs of this guest."""

    def __init__(self) -> None:
        self.programs: dict[str, asyncio.subprocess.Process] = {}
        self.forwards: dict[str, asyncio.Server] = {}

    async def ping(self) -> Reply:
        return {}

    async def run(self, argv: list[str], input: str = "", within: float = 60.0) -> Reply:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            async with asyncio.timeout(within):
                out, err = await process.communicate(base64.b64decode(input))
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            return {"code": -1, "out": "", "err": f"{argv[0]} did not end within {within} s"}
        return {"code": process.returncode, "out": out.decode(errors="replace"), "err": err.decode(errors="replace")}

    async def start(self, name: str, argv: list[str]) -> Reply:
        LOGS.mkdir(exist_ok=True)
        with (LOGS / f"{name}.log").open("ab") as log:
            self.programs[name] = await asyncio.create_subprocess_exec(
                *argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return {"pid": self.programs[name].pid}

    async def signal(self, name: str, number: int) -> Reply:
        with contextlib.suppress(ProcessLookupError):
            self.programs[name].send_signal(number)
        return {}

    async def wait(self, name: str, within: float) -> Reply:
        async with asyncio.timeout(within):
            return {"code": await self.programs[name].wait()}

    async def write(self, path: str, data: str) -> Reply:
        await asyncio.to_thread(Path(path).write_bytes, base64.b64decode(data))
        return {}

    async def read(self, path: str, offset: int = 0) -> Reply:
        def read() -> bytes:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read()

        return {"data": base64.b64encode(await asyncio.to_thread(read)).decode()}

    async def reach(self, path: str, within: float) -> Reply:
        """Wait until somebody listens at a unix socket."""
        async with asyncio.timeout(within):
            while True:  # without a process for each look: one costs tens of milliseconds here
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_unix_connection(path)
                    writer.close()
                    return {}
                await asyncio.sleep(LOOK_SECONDS)

    async def forward(self, path: str) -> Reply:
        """Let a TCP port lead to a unix socket of the guest."""
        if path not in self.forwards:
            self.forwards[path] = await asyncio.start_server(lambda r, w: _join(r, w, path), "0.0.0.0", 0)
        return {"port": self.forwards[path].sockets[0].getsockname()[1]}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                request = json.loads(line)
                verb: Callable[..., Awaitable[Reply]] = getattr(self, request.pop("do"))
                try:
                    reply = await verb(**request)
                except Exception as error:
                    reply = {"failed": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    try:
        far_reader, far_writer = await asyncio.open_unix_connection(path)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int) -> None:
    # Before every other program, lest a guest that is busy be taken for one that is dead; what it starts is as ever.
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    hand = Hand()
    server = await asyncio.start_server(hand.answer, "0.0.0.0", port, limit=1 << 28)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
