"""Requests of the CSI Controller service to messages of the controller API."""

from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.calls.turns import Steps
from directpv_common.protocol.errors import InvalidRequest, InvalidToken
from directpv_csi_gateway.core.capability import access_of, all_supported
from directpv_csi_gateway.core.checks import mapping, refused, sizes, text, volume_name
from directpv_csi_gateway.core.parameters import parameters
from directpv_csi_gateway.core.places import read_places
from directpv_csi_gateway.pb import csi_pb2 as pb

PAGE: Final = 500
"""Volumes per page at most: a page must fit into one message of the bus (1 MiB)."""
TOKEN_BYTES: Final = 1024


def create_volume(request: pb.CreateVolumeRequest) -> Steps[m.CreateVolume]:
    """Return what to ask the controller for; yield between slices. Source: CSI 1.13, CreateVolume.

    Raises:
        InvalidRequest: A field that can never be granted; secrets are not looked at.
    """
    name = volume_name("name", request.name)
    all_supported("volume_capabilities", request.volume_capabilities)
    required, limit = _capacity(request) if request.HasField("capacity_range") else (0, 0)
    if request.HasField("volume_content_source"):
        raise refused("volume_content_source", "snapshots and clones are not offered; create an empty volume")
    if request.mutable_parameters:
        raise refused("mutable_parameters", "are not offered; remove the VolumeAttributesClass")
    preferred, requisite = yield from read_places(request.accessibility_requirements)
    return m.CreateVolume(
        name=name,
        required=required,
        limit=limit,
        parameters=parameters("parameters", request.parameters),
        requisite=requisite,
        preferred=preferred,
    )


def _capacity(request: pb.CreateVolumeRequest | pb.ControllerExpandVolumeRequest) -> tuple[int, int]:
    return sizes("capacity_range", request.capacity_range.required_bytes, request.capacity_range.limit_bytes)


def delete_volume(request: pb.DeleteVolumeRequest) -> m.VolumeId:
    """Return the volume to delete.

    Raises:
        InvalidRequest: An id that no volume can have.
    """
    return m.VolumeId(name=volume_name("volume_id", request.volume_id))


def get_volume(request: pb.ControllerGetVolumeRequest) -> m.VolumeId:
    """Return the volume to show.

    Raises:
        InvalidRequest: An id that no volume can have.
    """
    return m.VolumeId(name=volume_name("volume_id", request.volume_id))


def expand_volume(request: pb.ControllerExpandVolumeRequest) -> m.ExpandVolume:
    """Return the new size to reserve.

    Raises:
        InvalidRequest: No size, or a capability that is not offered.
    """
    name = volume_name("volume_id", request.volume_id)
    if not request.HasField("capacity_range"):
        raise refused("capacity_range", "missing; set required_bytes to the new size")
    required, limit = _capacity(request)
    if not required:
        raise refused("capacity_range.required_bytes", "missing; set it to the new size in bytes")
    if request.HasField("volume_capability"):
        access_of("volume_capability", request.volume_capability, strict=False)
    return m.ExpandVolume(name=name, required=required, limit=limit)


def list_volumes(request: pb.ListVolumesRequest) -> m.ListVolumes:
    """Return which page to ask for; never more than :data:`PAGE` volumes.

    Raises:
        InvalidRequest: A negative number of entries.
        InvalidToken: A token that was never handed out.
    """
    token, limit = page_of(request.max_entries, request.starting_token)
    return m.ListVolumes(token=token, limit=limit)


def page_of(max_entries: int, starting_token: str) -> tuple[str, int]:
    """Return token and size of a page, as they go over the bus.

    Raises:
        InvalidRequest: A negative number of entries.
        InvalidToken: A token that was never handed out.
    """
    if max_entries < 0:
        raise refused("max_entries", f"{max_entries} is negative; use 0 for no limit")
    try:
        token = text("starting_token", starting_token, TOKEN_BYTES)
    except InvalidRequest as error:
        raise InvalidToken(f"{error.message}; begin again without a token", field="starting_token") from error
    return token, min(max_entries or PAGE, PAGE)


def get_capacity(request: pb.GetCapacityRequest) -> m.GetCapacity:
    """Return what to ask for: capacity for a class of volumes in one place.

    Raises:
        InvalidRequest: A capability or parameter that can never be granted.
    """
    if request.volume_capabilities:
        all_supported("volume_capabilities", request.volume_capabilities)
    return m.GetCapacity(
        parameters=parameters("parameters", request.parameters),
        accessible=mapping("accessible_topology.segments", request.accessible_topology.segments),
    )


def validate(request: pb.ValidateVolumeCapabilitiesRequest) -> m.VolumeId:
    """Return the volume that is asked about; whether it can do all that is :func:`replies.validated`'s to say.

    Raises:
        InvalidRequest: No volume, or no capability to judge.
    """
    name = volume_name("volume_id", request.volume_id)
    if not request.volume_capabilities:
        raise refused("volume_capabilities", "missing; give at least one capability")
    return m.VolumeId(name=name)
