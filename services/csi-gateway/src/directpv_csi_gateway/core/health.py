"""Health of volumes and drives, from messages of the bus to CSI 1.13."""

from collections.abc import Mapping
from typing import Final

import directpv_common.protocol.messages as m
from directpv_csi_gateway.core.checks import path, volume_name
from directpv_csi_gateway.core.controller import page_of
from directpv_csi_gateway.pb import csi_pb2 as pb

_VOLUME: Final[Mapping[m.Effect, pb.VolumeHealthErrorType]] = {
    m.Effect.DEGRADED: pb.DEGRADED,
    m.Effect.INACCESSIBLE: pb.INACCESSIBLE,
}
_STORAGE: Final[Mapping[m.Effect, pb.StorageHealthErrorType]] = {
    m.Effect.DEGRADED: pb.STORAGE_DEGRADED,
    m.Effect.INACCESSIBLE: pb.STORAGE_UNREACHABLE,
}


def get_from_controller(request: pb.ControllerGetVolumeHealthRequest) -> m.GetVolumeHealth:
    """Return which volume to ask the leader about.

    Raises:
        InvalidRequest: An id that no volume can have; secrets are not looked at.
    """
    return m.GetVolumeHealth(name=volume_name("volume_id", request.volume_id))


def get_from_node(request: pb.NodeGetVolumeHealthRequest) -> m.GetVolumeHealth:
    """Return which volume to ask the node about, and where it should be mounted.

    Raises:
        InvalidRequest: An id that no volume can have, or a path that leads elsewhere.
    """
    given = (
        ("volume_publish_path", request.volume_publish_path),
        ("staging_target_path", request.staging_target_path),
    )
    paths = tuple(path(field, value) for field, value in given if value)
    return m.GetVolumeHealth(name=volume_name("volume_id", request.volume_id), paths=paths)


def list_from_controller(request: pb.ControllerListVolumeHealthRequest) -> m.ListVolumeHealth:
    """Return which page to ask for.

    Raises:
        InvalidRequest: A negative number of entries.
        InvalidToken: A token that was never handed out.
    """
    token, limit = page_of(request.max_entries, request.starting_token)
    return m.ListVolumeHealth(token=token, limit=limit)


def volume_health(found: m.VolumeHealth) -> pb.VolumeHealth:
    """Return what is wrong with a volume; an effect that a later version has is DEGRADED for us."""
    entry = pb.VolumeHealth.VolumeHealthEntry
    return pb.VolumeHealth(
        volume_id=found.name,
        health_statuses=[
            entry(status=_VOLUME.get(each.effect, pb.DEGRADED), reason=each.reason, message=each.message)
            for each in found.ailments
        ],
    )


def listed(page: m.VolumeHealthPage) -> pb.ControllerListVolumeHealthResponse:
    """Return one page of volumes that are not well."""
    return pb.ControllerListVolumeHealthResponse(
        entries=[volume_health(each) for each in page.volumes], next_token=page.next
    )


def storage_health(found: m.StorageHealth) -> pb.NodeGetStorageHealthResponse:
    """Return what is wrong with the drives of the node."""
    backend = pb.NodeGetStorageHealthResponse.StorageBackendHealth
    return pb.NodeGetStorageHealthResponse(
        backend_health=[
            backend(status=_STORAGE.get(each.effect, pb.STORAGE_DEGRADED), reason=each.reason, message=each.message)
            for each in found.ailments
        ]
    )
