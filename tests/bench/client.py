"""A CSI client on grpcio (the C core), as the sidecars' Go client would be: not the thing that is measured."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc.aio

from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi

CALL_SECONDS = 60.0
CAPABILITY = csi.VolumeCapability(
    mount=csi.VolumeCapability.MountVolume(fs_type="xfs"),
    access_mode=csi.VolumeCapability.AccessMode(mode="SINGLE_NODE_WRITER"),
)


@contextlib.asynccontextmanager
async def calls(socket: str) -> AsyncIterator[Callable[[str, object, type], Awaitable[object]]]:
    """Yield ``call(path, request, reply type)``."""
    async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:

        def call(path: str, request: object, reply: type) -> Awaitable[object]:
            method = channel.unary_unary(
                path,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=reply.FromString,  # type: ignore[attr-defined]
            )
            return method(request, timeout=CALL_SECONDS, wait_for_ready=True)  # type: ignore[no-any-return]

        yield call


def creation(name: str, node: str = "") -> csi.CreateVolumeRequest:
    """A volume of 1 MiB; on ``node`` as the scheduler would choose it, or anywhere."""
    request = csi.CreateVolumeRequest(
        name=name, capacity_range=csi.CapacityRange(required_bytes=MIB), volume_capabilities=[CAPABILITY]
    )
    if node:
        segments = csi.Topology(segments={names.NODE: node})
        request.accessibility_requirements.requisite.append(segments)
        request.accessibility_requirements.preferred.append(segments)
    return request
