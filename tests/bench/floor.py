"""The floor of CreateVolume: the same chain with an empty handler.

gRPC over a unix socket → grpclib → NATS request → one fsynced SQLite commit (those that wait go together) → back.
Nothing is validated, placed, logged or traced. Run as ``python -m bench.floor gateway SOCKET URL`` and
``python -m bench.floor store FILE URL``.
"""

import asyncio
import queue
import sqlite3
import sys
import threading
from typing import Any

import nats
import orjson
from grpclib.server import Server, Stream

from directpv_csi_gateway.pb import csi_grpc, csi_pb2

SUBJECT = "floor.create"


class Floor(csi_grpc.ControllerBase):
    """Answers CreateVolume; the rest is never called."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus

    async def CreateVolume(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - gRPC's name
        request = await stream.recv_message()
        assert request is not None
        data = orjson.dumps({"name": request.name, "size": request.capacity_range.required_bytes})
        reply = orjson.loads((await self.bus.request(SUBJECT, data, timeout=30)).data)
        volume = csi_pb2.Volume(volume_id=reply["name"], capacity_bytes=reply["size"])
        await stream.send_message(csi_pb2.CreateVolumeResponse(volume=volume))


async def gateway(path: str, url: str) -> None:
    """Serve the empty chain on ``path``."""
    methods = {name: _unused for name in csi_grpc.ControllerBase.__abstractmethods__ if name != "CreateVolume"}
    service = type("Floor", (Floor,), methods)(await nats.connect(url))
    server = Server([service])
    await server.start(path=path)
    await server.wait_closed()


async def _unused(self: object, stream: Stream[Any, Any]) -> None:
    raise NotImplementedError


class Store(threading.Thread):
    """Commits in a thread of its own; what waits goes together in one transaction."""

    def __init__(self, file: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.file, self.loop = file, loop
        self.waiting: queue.SimpleQueue[tuple[str, bytes, asyncio.Future[None]]] = queue.SimpleQueue()

    def run(self) -> None:
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE volumes (name TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID")
        while True:
            batch = [self.waiting.get()]
            while not self.waiting.empty():
                batch.append(self.waiting.get())
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO volumes VALUES (?, ?)", [item[:2] for item in batch])
            connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(self._done, [item[2] for item in batch])

    @staticmethod
    def _done(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)


async def store(file: str, url: str) -> None:
    """Answer the requests of :func:`gateway`."""
    loop = asyncio.get_running_loop()
    keeper = Store(file, loop)
    keeper.start()
    bus = await nats.connect(url)
    tasks: set[asyncio.Task[None]] = set()

    async def answer(message: Any) -> None:
        request = orjson.loads(message.data)
        done = loop.create_future()
        keeper.waiting.put((request["name"], message.data, done))
        await done
        await message.respond(orjson.dumps(request))

    async def accept(message: Any) -> None:
        task = asyncio.create_task(answer(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await bus.subscribe(SUBJECT, cb=accept)
    await bus.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    roles = {"gateway": gateway, "store": store}
    asyncio.run(roles[sys.argv[1]](sys.argv[2], sys.argv[3]))
