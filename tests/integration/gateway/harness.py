"""The real gateway process, a gRPC client, and honest peers on the bus in place of controller and node agent."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.service import Handlers, serve
from directpv_common.protocol.api import Endpoint
from directpv_csi_gateway.pb import csi_pb2 as pb

START_SECONDS = 60
END_SECONDS = 20
NODE = "worker-1.example"
FSUUID = "0f3c2a1e-5b6d-4c7e-8f90-a1b2c3d4e5f6"


async def until(condition: Callable[[], bool], what: str, within: float = START_SECONDS) -> None:
    """Wait for ``condition``, not for luck."""
    try:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {what}") from None


@dataclass
class Gateway:
    """The gateway process; ``log`` is what it has written to standard error."""

    process: subprocess.Popen[bytes]
    socket: Path
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, END_SECONDS)


async def serving(gateway: Gateway) -> Gateway:
    """Wait until ``gateway`` takes calls."""
    await until(lambda: '"serving"' in gateway.log or gateway.process.poll() is not None, "the gateway serves")
    assert gateway.process.poll() is None, gateway.log
    return gateway


class Client:
    """The C-core client that sidecars in other languages resemble most."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    async def call(self, path: str, request: Any, **options: Any) -> Any:
        """Call ``Service/Method``; the type of the reply follows from its name."""
        reply = getattr(pb, f"{path.partition('/')[2]}Response")
        method = self.channel.unary_unary(
            f"/csi.v1.{path}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return await method(request, **({"timeout": 10} | options))

    async def failed(self, path: str, request: Any, **options: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(path, request, **options)
        return caught.value


@contextlib.asynccontextmanager
async def client_of(gateway: Gateway) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(f"unix://{gateway.socket}") as channel:
        yield Client(channel)


@dataclass
class Peer:
    """Answers on the bus what it is told to, and keeps what it was asked."""

    answers: dict[Endpoint[Any, Any], Any]
    asked: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def handlers(self) -> Handlers:
        return {endpoint: self._answering(answer) for endpoint, answer in self.answers.items()}

    def _answering(self, answer: Any) -> Any:
        async def handler(request: Any) -> Any:
            self.asked.append(request)
            await self.gate.wait()
            given = answer(request) if callable(answer) else answer
            if isinstance(given, Exception):
                raise given
            return given

        return handler


@contextlib.asynccontextmanager
async def peer(bus: Bus, answers: dict[Endpoint[Any, Any], Any], node: str | None = None) -> AsyncIterator[Peer]:
    """Stand in for the controller, or for the agent of ``node``."""
    answering = Peer(answers)
    async with serve(
        bus, name="directpv-peer", description="test", handlers=answering.handlers(), queue="test", node=node
    ):
        yield answering


def placed(request: m.CreateVolume | m.VolumeId) -> m.VolumeInfo:
    """What a controller with one drive would answer."""
    record = m.VolumeRecord(name=request.name, fsuuid=FSUUID, capacity=getattr(request, "required", 0) or 1)
    return m.VolumeInfo(record=record, node=NODE, topology={"directpv.min.io/node": NODE})
