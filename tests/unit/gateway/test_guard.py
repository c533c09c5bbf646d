"""What stands before every CSI call: deadline, trace, errors, account."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.testing import ChannelFor
from prometheus_client import CollectorRegistry

from directpv_common.calls.context import remaining, trace
from directpv_common.protocol import errors
from directpv_csi_gateway.adapters.calls import Calls
from directpv_csi_gateway.adapters.guard import DEFAULT_SECONDS, LONGEST_SECONDS, Guard
from directpv_csi_gateway.adapters.status import as_grpc
from directpv_csi_gateway.pb import csi_grpc
from directpv_csi_gateway.pb import csi_pb2 as pb

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST = pb.DeleteVolumeRequest(volume_id="pvc-1", secrets={"password": "hunter2"})
Handler = Callable[[pb.DeleteVolumeRequest], Awaitable[pb.DeleteVolumeResponse]]


class Served:
    """DeleteVolume, answered by ``handler`` behind a guard."""

    def __init__(self, handler: Handler) -> None:
        self.registry = CollectorRegistry()
        self.calls = Calls(self.registry)
        self._guard = Guard(csi_grpc.ControllerBase.__mapping__, {"DeleteVolume": handler}, self.calls)
        self._channel = ChannelFor([self._guard])

    async def __aenter__(self) -> "Served":
        self.stub = csi_grpc.ControllerStub(await self._channel.__aenter__())
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._channel.__aexit__(*error)

    async def call(self, **options: Any) -> pb.DeleteVolumeResponse:
        return await self.stub.DeleteVolume(REQUEST, **options)

    async def failed(self, **options: Any) -> GRPCError:
        with pytest.raises(GRPCError) as caught:
            await self.call(**options)
        return caught.value

    def counted(self, code: str) -> float | None:
        labels = {"method": "DeleteVolume", "code": code}
        return self.registry.get_sample_value("directpv_csi_calls_total", labels)


def raising(error: Exception) -> Handler:
    async def handler(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        raise error

    return handler


async def done(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
    return pb.DeleteVolumeResponse()


@pytest.mark.parametrize("kind", errors.CODES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_grpc_code_and_keeps_its_words(kind):
    status = as_grpc(kind("size: too large"))

    assert status.status not in (Status.OK, Status.UNKNOWN)
    assert status.message == "size: too large"


async def test_the_caller_gets_code_and_words_of_an_error():
    async with Served(raising(errors.FailedPrecondition("unmount it first"))) as served:
        error = await served.failed()

        assert (error.status, error.message) == (Status.FAILED_PRECONDITION, "unmount it first")
        assert served.counted("FAILED_PRECONDITION") == 1


async def test_a_message_too_long_for_a_trailer_is_cut():
    async with Served(raising(errors.NoCapacity("4 drives on worker01…\n" * 10_000))) as served:
        error = await served.failed()

    assert error.status is Status.RESOURCE_EXHAUSTED
    assert error.message is not None
    assert len(error.message) < 2000


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        pytest.param(KeyError("inner secret"), Status.INTERNAL, id="a bug"),
        pytest.param(OSError("inner secret"), Status.INTERNAL, id="a fault of the system"),
        pytest.param(TimeoutError("inner secret"), Status.DEADLINE_EXCEEDED, id="a limit inside"),
        pytest.param(DecodeError("inner secret"), Status.INVALID_ARGUMENT, id="a request that is none"),
    ],
)
async def test_other_errors_get_a_code_and_keep_their_text_inside(raised, status):
    async with Served(raising(raised)) as served:
        error = await served.failed()

    assert error.status is status
    assert error.message
    assert "inner secret" not in error.message


async def test_a_bug_is_logged_with_its_traceback(caplog):
    async with Served(raising(KeyError("inner secret"))) as served:
        await served.failed()

    assert any(record.exc_info and "inner secret" in str(record.exc_info[1]) for record in caplog.records)


async def test_an_rpc_without_a_method_is_unimplemented():
    async with Served(done) as served:
        with pytest.raises(GRPCError) as caught:
            await served.stub.CreateSnapshot(pb.CreateSnapshotRequest())

    assert caught.value.status is Status.UNIMPLEMENTED
    assert caught.value.message is not None
    assert "CreateSnapshot" in caught.value.message


def test_a_method_that_is_no_rpc_is_noticed_at_the_start():
    with pytest.raises(TypeError, match="DeleteVolum"):
        Guard(csi_grpc.ControllerBase.__mapping__, {"DeleteVolum": done}, Calls(CollectorRegistry()))


async def test_the_work_gets_a_little_less_time_than_the_caller_waits():
    seen = []

    async def handler(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        seen.append(remaining(9999))
        return pb.DeleteVolumeResponse()

    async with Served(handler) as served:
        await served.call(timeout=50)
        await served.call()
        await served.call(timeout=3600)

    assert 10 < seen[0] <= 49.5
    assert 10 < seen[1] <= DEFAULT_SECONDS
    assert DEFAULT_SECONDS < seen[2] <= LONGEST_SECONDS


async def test_the_trace_of_the_caller_goes_on_and_a_missing_one_begins():
    seen = []

    async def handler(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        seen.append(trace())
        return pb.DeleteVolumeResponse()

    async with Served(handler) as served:
        await served.call(metadata={"traceparent": PARENT})
        await served.call(metadata={"traceparent": "nonsense"})
        await served.call()

    ids = [span.trace_id for span in seen]
    assert ids[0] == "0af7651916cd43dd8448eb211c80319c"
    assert len(set(ids)) == 3


async def test_a_call_is_one_log_line_without_secrets(caplog):
    caplog.set_level(logging.DEBUG, logger="directpv_csi_gateway")
    async with Served(done) as served:
        await served.call()

    (line,) = (vars(record) for record in caplog.records if record.name.startswith("directpv_csi_gateway"))
    assert (line["method"], line["code"], line["volume"]) == ("DeleteVolume", "OK", "pvc-1")
    assert line["seconds"] > 0
    assert "hunter2" not in repr(line)


async def test_what_is_no_volume_name_does_not_get_into_the_log(caplog):
    caplog.set_level(logging.DEBUG, logger="directpv_csi_gateway")
    async with Served(done) as served:
        await served.stub.DeleteVolume(pb.DeleteVolumeRequest(volume_id="x\n" * 4000))

    assert "x\n" not in repr([vars(record) for record in caplog.records])


async def test_a_call_counts_as_running_while_it_runs():
    entered, go = asyncio.Event(), asyncio.Event()

    async def handler(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        entered.set()
        await go.wait()
        return pb.DeleteVolumeResponse()

    async with Served(handler) as served:
        call = asyncio.create_task(served.call())
        await asyncio.wait_for(entered.wait(), 10)
        assert served.registry.get_sample_value("directpv_csi_calls_running") == 1
        go.set()
        await call
        assert served.registry.get_sample_value("directpv_csi_calls_running") == 0
        assert served.counted("OK") == 1


async def test_a_call_that_is_cancelled_or_too_late_is_counted_and_harms_no_other():
    entered: asyncio.Queue[None] = asyncio.Queue()
    go = asyncio.Event()

    async def handler(_: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        entered.put_nowait(None)
        await go.wait()
        return pb.DeleteVolumeResponse()

    async with Served(handler) as served:
        cancelled = asyncio.create_task(served.call())
        await asyncio.wait_for(entered.get(), 10)
        other = asyncio.create_task(served.call())
        await asyncio.wait_for(entered.get(), 10)
        cancelled.cancel()
        with pytest.raises(TimeoutError):
            await served.call(timeout=0.3)
        async with asyncio.timeout(10):
            while (served.counted("CANCELLED") or 0) + (served.counted("DEADLINE_EXCEEDED") or 0) < 2:
                await asyncio.sleep(0.01)
        go.set()

        assert await other == pb.DeleteVolumeResponse()
        assert served.calls.in_flight.running == 0


async def test_new_calls_are_refused_while_the_process_ends():
    async with Served(done) as served:
        served.calls.closing = True
        error = await served.failed()

    assert error.status is Status.UNAVAILABLE
