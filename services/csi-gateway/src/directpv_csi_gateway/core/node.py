"""Requests of the CSI Node service to messages of the node API."""

import re
from collections.abc import Mapping
from typing import Final, Protocol

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import FailedPrecondition, NotFound
from directpv_common.protocol.messages import MAX_INT64
from directpv_common.protocol.names import (
    CONTEXT_POD_NAME,
    CONTEXT_POD_NAMESPACE,
    CONTEXT_POD_UID,
    DRIVE,
    INCARNATION,
    VOLUME_SIZE,
)
from directpv_csi_gateway.core.capability import Access, access_of
from directpv_csi_gateway.core.checks import path, refused, shown, sizes, text, volume_name
from directpv_csi_gateway.pb import csi_pb2 as pb

EPHEMERAL: Final = "csi.storage.k8s.io/ephemeral"
POD_NAME_BYTES: Final = 253
_HINTS: Final = frozenset({DRIVE, VOLUME_SIZE, INCARNATION})
"""What the context of a volume has that DirectPV v4 did not make."""
_FSUUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_INCARNATION: Final = re.compile(m.INCARNATION_PATTERN)
_DIGITS: Final = re.compile(r"[0-9]{1,19}\Z")


class _WithCapability(Protocol):
    """A request that says how the volume will be used."""

    @property
    def volume_capability(self) -> pb.VolumeCapability: ...
    @property
    def volume_context(self) -> Mapping[str, str]: ...
    def HasField(self, field_name: str) -> bool: ...  # noqa: N802


def stage_volume(request: pb.NodeStageVolumeRequest) -> m.StageVolume:
    """Return what to stage. Volumes made by upstream have no hints in their context, and need none.

    Raises:
        InvalidRequest: A field that is missing or can never be granted; secrets are not looked at.
    """
    name = volume_name("volume_id", request.volume_id)
    staging = path("staging_target_path", request.staging_target_path)
    access = _access(request)
    return m.StageVolume(
        name=name,
        staging_path=staging,
        fsuuid=_drive(request.volume_context.get(DRIVE, "")),
        capacity=_size(request.volume_context.get(VOLUME_SIZE, "")),
        incarnation=_incarnation(request.volume_context.get(INCARNATION, "")),
        mount_flags=access.flags,
    )


def _access(request: _WithCapability) -> Access:
    if not request.HasField("volume_capability"):
        raise refused("volume_capability", "missing; say how the volume will be used")
    made_here = not _HINTS.isdisjoint(request.volume_context)
    return access_of("volume_capability", request.volume_capability, strict=made_here)


def _drive(hint: str) -> str:
    if hint and not _FSUUID.match(hint):
        raise refused(
            f"volume_context[{DRIVE}]", f"{shown(hint)} is no lower-case UUID; pass on what CreateVolume gave"
        )
    return hint


def _incarnation(hint: str) -> str:
    if hint and not _INCARNATION.match(hint):
        raise refused(f"volume_context[{INCARNATION}]", f"{shown(hint)} is none; pass on what CreateVolume gave")
    return hint


def _size(hint: str) -> int:
    if hint and not (_DIGITS.match(hint) and int(hint) <= MAX_INT64):
        raise refused(
            f"volume_context[{VOLUME_SIZE}]", f"{shown(hint)} is no number of bytes; pass on what CreateVolume gave"
        )
    return int(hint or 0)


def publish_volume(request: pb.NodePublishVolumeRequest) -> m.PublishVolume:
    """Return what to publish; read-only if the request, the access mode or a flag says so.

    Raises:
        InvalidRequest: A field that is missing or can never be granted; secrets are not looked at.
        FailedPrecondition: No staging path (CSI 1.13, errors of NodePublishVolume).
    """
    name = volume_name("volume_id", request.volume_id)
    context = request.volume_context
    if context.get(EPHEMERAL, "").lower() == "true":
        raise refused(
            f"volume_context[{EPHEMERAL}]",
            "inline ephemeral volumes are not offered; use a generic ephemeral volume (ephemeral.volumeClaimTemplate)",
        )
    target = path("target_path", request.target_path)
    access = _access(request)
    if not request.staging_target_path:
        raise FailedPrecondition(
            "staging_target_path: missing; call NodeStageVolume first and give its path", field="staging_target_path"
        )
    staging = path("staging_target_path", request.staging_target_path)
    return m.PublishVolume(
        name=name,
        staging_path=staging,
        target_path=target,
        read_only=request.readonly or access.read_only,
        single_writer=access.single_writer,
        mount_flags=access.flags,
        pod_name=_pod(CONTEXT_POD_NAME, context.get(CONTEXT_POD_NAME, "")),
        pod_namespace=_pod(CONTEXT_POD_NAMESPACE, context.get(CONTEXT_POD_NAMESPACE, "")),
        pod_uid=_pod(CONTEXT_POD_UID, context.get(CONTEXT_POD_UID, "")),
    )


def _pod(key: str, value: str) -> str:
    return text(f"volume_context[{key}]", value, POD_NAME_BYTES)


def unpublish_volume(request: pb.NodeUnpublishVolumeRequest) -> m.UnpublishVolume:
    """Return what to unmount from a pod.

    Raises:
        InvalidRequest: A field that is missing, or a path that leads elsewhere.
    """
    return m.UnpublishVolume(
        name=volume_name("volume_id", request.volume_id), target_path=path("target_path", request.target_path)
    )


def unstage_volume(request: pb.NodeUnstageVolumeRequest) -> m.UnstageVolume:
    """Return what to unmount from the staging path.

    Raises:
        InvalidRequest: A field that is missing, or a path that leads elsewhere.
    """
    return m.UnstageVolume(
        name=volume_name("volume_id", request.volume_id),
        staging_path=path("staging_target_path", request.staging_target_path),
    )


def volume_stats(request: pb.NodeGetVolumeStatsRequest) -> m.StatVolume:
    """Return which volume to measure, and where.

    Raises:
        InvalidRequest: A field that is missing, or a path that leads elsewhere.
        NotFound: A relative path.
    """
    return m.StatVolume(name=volume_name("volume_id", request.volume_id), volume_path=_volume_path(request.volume_path))


def _volume_path(value: str) -> str:
    """Return where the volume is said to be. No volume is at a relative path: NOT_FOUND, as csi-sanity has it."""
    if value and not value.startswith("/"):
        raise NotFound(f"volume_path: no volume is at {shown(value)}; give an absolute path", field="volume_path")
    return path("volume_path", value)


def expand_volume(request: pb.NodeExpandVolumeRequest) -> m.ExpandNodeVolume:
    """Return the size to raise the quota to; without a capacity range, to what was reserved.

    Raises:
        InvalidRequest: A field that is missing or can never be granted; secrets are not looked at.
        NotFound: A relative path.
    """
    name = volume_name("volume_id", request.volume_id)
    where = _volume_path(request.volume_path)
    required, limit = 0, 0
    if request.HasField("capacity_range"):
        required, limit = sizes(
            "capacity_range", request.capacity_range.required_bytes, request.capacity_range.limit_bytes
        )
    if request.HasField("volume_capability"):
        access_of("volume_capability", request.volume_capability, strict=False)
    return m.ExpandNodeVolume(name=name, volume_path=where, required=required, limit=limit)
