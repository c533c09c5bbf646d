"""A reply leaves in one write, in the order in which it was said."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from directpv_csi_gateway.adapters import gathering
from directpv_csi_gateway.adapters.gathering import Gathering, Server
from directpv_csi_gateway.pb import csi_grpc
from directpv_csi_gateway.pb import csi_pb2 as pb

CALLS = 20


class Below:
    """Notes what is written to the real transport."""

    def __init__(self, transport: Any, writes: list[bytes]) -> None:
        self._transport, self._writes = transport, writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Identity(csi_grpc.IdentityBase):
    async def GetPluginInfo(self, stream: Any) -> None:  # noqa: N802
        request = await stream.recv_message()
        assert request is not None
        await stream.send_message(pb.GetPluginInfoResponse(name="n" * 100_000))

    async def Probe(self, stream: Any) -> None:  # noqa: N802
        await stream.recv_message()
        await stream.send_message(pb.ProbeResponse())

    async def GetPluginCapabilities(self, stream: Any) -> None:  # noqa: N802
        raise NotImplementedError


class Writes(list[bytes]):
    """What went to the real transports of the server."""

    def __init__(self) -> None:
        super().__init__()
        self._transports: list[Any] = []

    def below(self, transport: Any) -> Below:
        self._transports.append(transport)
        return Below(transport, self)

    async def ended(self) -> None:
        """Wait until the server has let go of all connections: their other ends are closed."""
        async with asyncio.timeout(20):
            while any(transport.get_extra_info("socket").fileno() >= 0 for transport in self._transports):
                await asyncio.sleep(0.01)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    made = Writes()
    monkeypatch.setattr(gathering, "Gathering", lambda transport: Gathering(made.below(transport)))
    return made


async def test_a_reply_leaves_in_one_write(tmp_path: Path, writes: Writes) -> None:
    server = Server([Identity()])
    await server.start(path=str(tmp_path / "s"))
    try:
        async with grpc.aio.insecure_channel(f"unix://{tmp_path / 's'}") as channel:
            probe = channel.unary_unary("/csi.v1.Identity/Probe", pb.ProbeRequest.SerializeToString)
            info = channel.unary_unary(
                "/csi.v1.Identity/GetPluginInfo",
                pb.GetPluginInfoRequest.SerializeToString,
                pb.GetPluginInfoResponse.FromString,
            )
            await probe(pb.ProbeRequest(), timeout=20)
            before = len(writes)
            for _ in range(CALLS):
                await probe(pb.ProbeRequest(), timeout=20)
            assert CALLS <= len(writes) - before < 2 * CALLS, "headers, message and trailers would be three each"
            answers = await asyncio.gather(*(info(pb.GetPluginInfoRequest(), timeout=20) for _ in range(CALLS)))
            assert {answer.name for answer in answers} == {"n" * 100_000}
    finally:
        server.close()
        await server.wait_closed()
        await writes.ended()


class Sink:
    """A transport that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told


async def test_what_was_written_goes_before_the_connection_is_closed() -> None:
    sink = Sink()
    transport = Gathering(sink)  # type: ignore[arg-type]
    transport.write(b"a")
    transport.write(b"b")
    transport.close()
    await asyncio.sleep(0)
    assert sink.told == [b"ab", "closed"]


async def test_nothing_is_written_to_a_connection_that_is_closing() -> None:
    sink = Sink()
    transport = Gathering(sink)  # type: ignore[arg-type]
    transport.write(b"a")
    sink.close()
    await asyncio.sleep(0)
    assert sink.told == ["closed"]
