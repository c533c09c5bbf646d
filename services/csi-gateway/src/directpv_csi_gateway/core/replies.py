"""Messages of the bus to replies of CSI."""

from collections.abc import Iterable, Mapping

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.names import VOLUME_SIZE
from directpv_common.protocol.volume_context import KUBERNETES, volume_context
from directpv_csi_gateway.core.capability import all_supported
from directpv_csi_gateway.core.checks import shown
from directpv_csi_gateway.core.former_health import with_condition
from directpv_csi_gateway.pb import csi_pb2 as pb


def volume(info: m.VolumeInfo) -> pb.Volume:
    """Return ``info`` as CSI shows a volume."""
    record = info.record
    shown_volume = pb.Volume(
        capacity_bytes=record.capacity, volume_id=record.name, volume_context=volume_context(record)
    )
    if info.topology:
        shown_volume.accessible_topology.add().segments.update(info.topology)
    return shown_volume


def listed(page: m.VolumePage, *, condition: bool = False) -> pb.ListVolumesResponse:
    """Return one page of volumes; ``condition``: with their health as CSI 1.12 has it."""
    reply = pb.ListVolumesResponse(next_token=page.next)
    for info in page.volumes:
        entry = reply.entries.add(volume=volume(info), status=pb.ListVolumesResponse.VolumeStatus())
        if condition:
            with_condition(entry.status, info.abnormal, info.condition)
    return reply


def got(info: m.VolumeInfo, *, condition: bool = False) -> pb.ControllerGetVolumeResponse:
    """Return one volume; ``condition``: with its health as CSI 1.12 has it."""
    status = pb.ControllerGetVolumeResponse.VolumeStatus()
    if condition:
        with_condition(status, info.abnormal, info.condition)
    return pb.ControllerGetVolumeResponse(volume=volume(info), status=status)


def capacity(found: m.Capacity) -> pb.GetCapacityResponse:
    """Return free bytes in all, and on the best single drive: a volume never spans two."""
    reply = pb.GetCapacityResponse(available_capacity=found.available)
    reply.maximum_volume_size.value = found.maximum
    return reply


def validated(
    request: pb.ValidateVolumeCapabilitiesRequest, info: m.VolumeInfo
) -> pb.ValidateVolumeCapabilitiesResponse:
    """Confirm ``request`` if the volume can do all of it; else say what it cannot."""
    try:
        all_supported("volume_capabilities", request.volume_capabilities)
    except InvalidRequest as error:
        return pb.ValidateVolumeCapabilitiesResponse(message=error.message)
    differs = _difference(request, info.record)
    if differs:
        return pb.ValidateVolumeCapabilitiesResponse(message=differs)
    confirmed = pb.ValidateVolumeCapabilitiesResponse.Confirmed(
        volume_context=request.volume_context,
        volume_capabilities=request.volume_capabilities,
        parameters=request.parameters,
    )
    return pb.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)


def _difference(request: pb.ValidateVolumeCapabilitiesRequest, record: m.VolumeRecord) -> str:
    """Return what in ``request`` is not so for the volume; empty if all is."""
    if request.mutable_parameters:
        return "mutable_parameters: are not offered"
    wrong = _other(request.parameters, record.parameters)
    if wrong:
        return f"parameters: the volume was created with another value of {wrong}"
    # The size hint tells the size at creation: an expanded volume has another.
    wrong = _other(request.volume_context, {**volume_context(record), VOLUME_SIZE: None})
    return f"volume_context: the volume has another value of {wrong}" if wrong else ""


def _other(given: Mapping[str, str], real: Mapping[str, str | None]) -> str:
    """Return the first key of ``given`` whose value is not that of ``real``; there, None allows any."""
    for key in sorted(given):
        expected = real.get(key, "")
        if expected is not None and given[key] != expected and not key.startswith(KUBERNETES):
            return shown(key)
    return ""


def node_info(info: m.NodeInfo) -> pb.NodeGetInfoResponse:
    """Return the node's name and topology; the number of volumes is bounded by space alone."""
    return pb.NodeGetInfoResponse(node_id=info.name, accessible_topology=pb.Topology(segments=info.topology))


def stats(found: m.VolumeStats, *, condition: bool = False) -> pb.NodeGetVolumeStatsResponse:
    """Return use in bytes and inodes; ``condition``: with the volume's health as CSI 1.12 has it."""
    usage = pb.VolumeUsage
    reply = pb.NodeGetVolumeStatsResponse(
        usage=_usages(
            (usage.BYTES, found.total, found.used, found.available),
            (usage.INODES, found.inodes_total, found.inodes_used, found.inodes_free),
        )
    )
    return with_condition(reply, found.abnormal, found.condition) if condition else reply


def _usages(*rows: tuple[pb.VolumeUsage.Unit, int, int, int]) -> Iterable[pb.VolumeUsage]:
    return [
        pb.VolumeUsage(unit=unit, total=total, used=used, available=available) for unit, total, used, available in rows
    ]
