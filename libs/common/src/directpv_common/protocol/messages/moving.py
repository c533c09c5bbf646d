"""Moves of volumes to other drives of their nodes: what people ask for, what the leader orders, how far it is."""

from typing import Annotated

from msgspec import Meta

from directpv_common.protocol.messages.base import (
    FSUUID_OR_EMPTY,
    Bytes,
    Count,
    Fence,
    FsUuid,
    Message,
    MoveId,
    VolumeName,
)
from directpv_common.protocol.messages.volumes import VolumeId, VolumeRecord
from directpv_common.protocol.open_enum import OpenStrEnum


class MoveVolume(VolumeId, frozen=True, kw_only=True):
    """Move a volume with its data to another drive of its node, or cancel that. Safe to repeat."""

    target: Annotated[str, Meta(pattern=FSUUID_OR_EMPTY)] = ""
    """Empty: the drive of the node that suits the volume and has most space."""
    limit: Bytes = 0
    """Bytes per second; 0 means no limit."""
    cancel: bool = False


class MoveState(OpenStrEnum):
    """Where a move stands."""

    QUEUED = "Queued"
    """Another move of the node goes first, or the node has not begun."""
    COPYING = "Copying"
    WAITING = "Waiting"
    """The copy is close; the last pass begins when no pod has the volume."""
    LAST_PASS = "LastPass"  # noqa: S105 - no secret
    """No pod can have the volume until this is over."""
    COPIED = "Copied"
    """The copy is complete and compared; the leader decides."""
    FLIPPED = "Flipped"
    """The volume is on its new drive; the old data is being removed."""
    CANCELLING = "Cancelling"
    FAILED = "Failed"
    """Nothing was lost; ``message`` says why. It goes on when that is mended and the move is repeated."""
    NONE = "None"
    """There is no move of the volume."""


class MoveStatus(Message, frozen=True, kw_only=True):
    """How far a move is. Bytes count what the current pass has to look at."""

    name: VolumeName
    source: str = ""
    target: str = ""
    node: str = ""
    state: MoveState = MoveState.NONE
    passes: Count = 0
    """Which pass this is."""
    done: Bytes = 0
    total: Bytes = 0
    rate: Bytes = 0
    """Bytes per second, of late."""
    message: str = ""
    held_up: Count = 0
    """Seconds for which its end was refused, again and again; ``message`` says why. 0: it was not, or just now."""


class ListMoves(Message, frozen=True, kw_only=True):
    """Ask for moves that have not ended; ``names`` empty: all."""

    names: tuple[VolumeName, ...] = ()


class MoveList(Message, frozen=True, kw_only=True):
    """Moves, ordered by name of the volume."""

    moves: tuple[MoveStatus, ...] = ()


class CopyVolume(Message, frozen=True, kw_only=True):
    """Leader -> node: begin to copy a volume to another drive, or say how far that is; or end that, and undo it."""

    record: VolumeRecord
    """On its drive, the source."""
    target: FsUuid
    id: MoveId
    limit: Bytes = 0
    cancel: bool = False
    retry: bool = False
    """Begin anew what has failed."""
    fence: Fence


class CopyStatus(Message, frozen=True, kw_only=True):
    """How far the copy is; fields as in :class:`MoveStatus`. ``NONE`` answers a cancel: nothing is left of it."""

    state: MoveState
    passes: Count = 0
    done: Bytes = 0
    total: Bytes = 0
    rate: Bytes = 0
    message: str = ""
