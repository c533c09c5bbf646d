"""Health, as Kubernetes asks for it: what is wrong with one volume, or with the drives of a node."""

from directpv_common.protocol.messages.base import Message, PageLimit, VolumeName
from directpv_common.protocol.messages.volumes import VolumeId
from directpv_common.protocol.open_enum import OpenStrEnum


class Effect(OpenStrEnum):
    """What something wrong means for those who use volumes. Source: CSI 1.13, VolumeHealthErrorType."""

    DEGRADED = "Degraded"
    """It is served, and somebody should look at it."""
    INACCESSIBLE = "Inaccessible"
    """It is not served."""


class Ailment(Message, frozen=True, kw_only=True):
    """One thing that is wrong; ``(effect, reason)`` is there once per volume or node."""

    effect: Effect
    reason: str
    """A word of :class:`directpv_common.protocol.reasons.Reason`."""
    message: str = ""
    """For people. It has no figures: Kubernetes keeps the first message for as long as the reason stays."""


class GetVolumeHealth(VolumeId, frozen=True, kw_only=True):
    """Gateway -> controller or node: what is wrong with a volume?"""

    paths: tuple[str, ...] = ()
    """Of a node: where the volume is, or should be, staged or published; unpublished volumes have none."""


class VolumeHealth(Message, frozen=True, kw_only=True):
    """One volume; no ailments: nothing is known to be wrong."""

    name: VolumeName
    ailments: tuple[Ailment, ...] = ()


class ListVolumeHealth(Message, frozen=True, kw_only=True):
    """Gateway -> controller: which volumes are not well?"""

    token: str = ""
    limit: PageLimit = 0


class VolumeHealthPage(Message, frozen=True, kw_only=True):
    """Some of the volumes that are not well, in order of drive and name; ``next`` is empty on the last page."""

    volumes: tuple[VolumeHealth, ...]
    next: str = ""


class StorageHealth(Message, frozen=True, kw_only=True):
    """What is wrong with the drives of a node, by effect and reason."""

    ailments: tuple[Ailment, ...] = ()
