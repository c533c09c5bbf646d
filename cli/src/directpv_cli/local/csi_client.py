"""A CSI client for the demo and for tests: what kubelet and the sidecars would send."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from grpclib.client import Channel

from directpv_common.protocol.names import FS_TYPE
from directpv_csi_gateway.pb import csi_grpc, csi_pb2

CALL_SECONDS = 60.0


@dataclass(frozen=True)
class CsiClient:
    """The three services of one endpoint."""

    identity: csi_grpc.IdentityStub
    controller: csi_grpc.ControllerStub
    node: csi_grpc.NodeStub


@contextlib.asynccontextmanager
async def connect(socket: str) -> AsyncIterator[CsiClient]:
    """Connect to the endpoint at the unix socket ``socket``."""
    async with Channel(path=socket) as channel:
        yield client_of(channel)


def client_of(channel: Channel) -> CsiClient:
    """Return the three services behind ``channel``."""
    return CsiClient(csi_grpc.IdentityStub(channel), csi_grpc.ControllerStub(channel), csi_grpc.NodeStub(channel))


def capability(mode: str = "SINGLE_NODE_WRITER") -> csi_pb2.VolumeCapability:
    """Return a mount capability with access mode ``mode``."""
    return csi_pb2.VolumeCapability(
        mount=csi_pb2.VolumeCapability.MountVolume(fs_type=FS_TYPE),
        access_mode=csi_pb2.VolumeCapability.AccessMode(mode=mode),
    )


def creation(name: str, size: int) -> csi_pb2.CreateVolumeRequest:
    """Return the request for a volume of ``size`` bytes, as external-provisioner would send it."""
    return csi_pb2.CreateVolumeRequest(
        name=name,
        capacity_range=csi_pb2.CapacityRange(required_bytes=size),
        volume_capabilities=[capability()],
    )
