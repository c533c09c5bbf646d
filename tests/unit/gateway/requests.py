"""Valid CSI requests, one per method; a test changes the one fact that it is about."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

import directpv_common.protocol.messages as m
from directpv_common.protocol.names import CONTEXT_POD_NAME, CONTEXT_POD_NAMESPACE, CONTEXT_POD_UID, DRIVE, VOLUME_SIZE
from directpv_csi_gateway.core import controller
from directpv_csi_gateway.pb import csi_pb2 as pb

GIB = 1024**3
FSUUID = "0f3c2a1e-5b6d-4c7e-8f90-a1b2c3d4e5f6"
Mode = pb.VolumeCapability.AccessMode


def capability(mode: int = Mode.SINGLE_NODE_WRITER, fs_type: str = "xfs", flags: tuple[str, ...] = ()) -> Any:
    mount = pb.VolumeCapability.MountVolume(fs_type=fs_type, mount_flags=flags)
    return pb.VolumeCapability(mount=mount, access_mode=Mode(mode=mode))


def block() -> Any:
    return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=Mode.SINGLE_NODE_WRITER))


def create(**changes: Any) -> pb.CreateVolumeRequest:
    fields = {
        "name": "pvc-1",
        "capacity_range": pb.CapacityRange(required_bytes=GIB),
        "volume_capabilities": [capability()],
    }
    return pb.CreateVolumeRequest(**(fields | changes))


def asked(request: pb.CreateVolumeRequest) -> m.CreateVolume:
    """What a new volume becomes on the bus, read to the end at once."""
    steps = controller.create_volume(request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            message: m.CreateVolume = end.value
            return message


def delete(**changes: Any) -> pb.DeleteVolumeRequest:
    return pb.DeleteVolumeRequest(**({"volume_id": "pvc-1"} | changes))


def get(**changes: Any) -> pb.ControllerGetVolumeRequest:
    return pb.ControllerGetVolumeRequest(**({"volume_id": "pvc-1"} | changes))


def grow(**changes: Any) -> pb.ControllerExpandVolumeRequest:
    fields = {"volume_id": "pvc-1", "capacity_range": pb.CapacityRange(required_bytes=2 * GIB)}
    return pb.ControllerExpandVolumeRequest(**(fields | changes))


def validate(**changes: Any) -> pb.ValidateVolumeCapabilitiesRequest:
    return pb.ValidateVolumeCapabilitiesRequest(
        **({"volume_id": "pvc-1", "volume_capabilities": [capability()]} | changes)
    )


def stage(**changes: Any) -> pb.NodeStageVolumeRequest:
    fields = {
        "volume_id": "pvc-1",
        "staging_target_path": "/stage/pvc-1",
        "volume_capability": capability(),
        "volume_context": {DRIVE: FSUUID, VOLUME_SIZE: str(GIB)},
    }
    return pb.NodeStageVolumeRequest(**(fields | changes))


def unstage(**changes: Any) -> pb.NodeUnstageVolumeRequest:
    return pb.NodeUnstageVolumeRequest(**({"volume_id": "pvc-1", "staging_target_path": "/stage/pvc-1"} | changes))


def publish(**changes: Any) -> pb.NodePublishVolumeRequest:
    fields = {
        "volume_id": "pvc-1",
        "staging_target_path": "/stage/pvc-1",
        "target_path": "/pods/1/mount",
        "volume_capability": capability(),
        "volume_context": {
            DRIVE: FSUUID,
            CONTEXT_POD_NAME: "web-0",
            CONTEXT_POD_NAMESPACE: "shop",
            CONTEXT_POD_UID: "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b",
        },
    }
    return pb.NodePublishVolumeRequest(**(fields | changes))


def unpublish(**changes: Any) -> pb.NodeUnpublishVolumeRequest:
    return pb.NodeUnpublishVolumeRequest(**({"volume_id": "pvc-1", "target_path": "/pods/1/mount"} | changes))


def stats(**changes: Any) -> pb.NodeGetVolumeStatsRequest:
    return pb.NodeGetVolumeStatsRequest(**({"volume_id": "pvc-1", "volume_path": "/pods/1/mount"} | changes))


def node_grow(**changes: Any) -> pb.NodeExpandVolumeRequest:
    return pb.NodeExpandVolumeRequest(**({"volume_id": "pvc-1", "volume_path": "/pods/1/mount"} | changes))


def sizes(required: int = 0, limit: int = 0) -> pb.CapacityRange:
    return pb.CapacityRange(required_bytes=required, limit_bytes=limit)


Builder = Callable[..., Message]
