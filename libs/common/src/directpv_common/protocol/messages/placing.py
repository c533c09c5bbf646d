"""Why a volume finds no drive, or which one it would get: asked by people, answered from the leader's memory."""

from directpv_common.protocol.messages.base import Bytes, Count, FsUuid, Message, NodeName, PageLimit
from directpv_common.protocol.messages.volumes import CreateVolume


class ExplainPlacement(CreateVolume, frozen=True, kw_only=True):
    """CLI -> controller: what would become of this CreateVolume now? Nothing is placed."""

    show: PageLimit = 0
    """At most so many candidates; 0: :data:`directpv_controller.core.placing.candidates.SHOWN`."""


class Candidate(Message, frozen=True, kw_only=True):
    """One drive, and what keeps it from taking the volume."""

    fsuuid: FsUuid
    node: NodeName
    device: str = ""
    free: Bytes = 0
    obstacles: tuple[str, ...] = ()
    """Every filter that it fails, in words; empty: it could take the volume."""
    changes: tuple[str, ...] = ()
    """Per obstacle the smallest change that takes it away."""


class Placement(Message, frozen=True, kw_only=True):
    """What would become of a volume."""

    drive: str = ""
    """Id of the drive that it would get, or has; empty: none."""
    summary: str = ""
    """Why there is none, as CreateVolume says it."""
    candidates: tuple[Candidate, ...] = ()
    """Those that lack least come first."""
    more: Count = 0
    """Drives that were looked at and are not shown."""
    unseen: Count = 0
    """Drives that were not looked at, for there are very many."""
