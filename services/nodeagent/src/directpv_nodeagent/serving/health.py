"""What is wrong with a volume of this node, or with its drives: said from memory, for kubelet asks volume by volume.

A drive that is gone or hangs is told of, never asked. Source: CSI 1.13, NodeGetVolumeHealth, NodeGetStorageHealth.
"""

from collections.abc import Iterable

from directpv_common.protocol.errors import FailedPrecondition, NotFound, Unavailable
from directpv_common.protocol.messages import Ailment, Effect, Empty, GetVolumeHealth, StorageHealth, VolumeHealth
from directpv_common.protocol.reasons import Reason, ailment, ailments_of, worst
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.held import Drive


class Healths:
    """Answers ``volume.health`` and ``node.health``."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives

    async def volume(self, request: GetVolumeHealth) -> VolumeHealth:
        """Tell what is wrong with one volume.

        A volume that no drive here has, but that somebody has or wants mounted here, is on a drive that is gone.

        Raises:
            NotFound: No drive here has it, and nobody says that it is mounted here.
            Unavailable: The drives were not all looked at since the agent started.
        """
        name, drives = request.name, self._drives
        self._check_scanned()
        path = next((path for path in request.paths if path), "")
        try:
            drive = drives.holder_at(name, path)
        except FailedPrecondition as error:
            contested = ailment(Reason.VOLUME_CONTESTED, error.message)
            return VolumeHealth(name=name, ailments=(contested,))
        if drive is not None:
            return VolumeHealth(name=name, ailments=worst([*ailments_here(drive), *_left_behind(drive, name)]))
        if not path:
            raise NotFound(f"no drive of node {drives.host.node} has volume {name}")
        lost = ailment(Reason.DRIVE_LOST, f"the drive of volume {name} is not on node {drives.host.node}")
        return VolumeHealth(name=name, ailments=(lost,))

    async def node(self, request: Empty) -> StorageHealth:
        """Tell what is wrong with the drives of this node, each reason once.

        Raises:
            Unavailable: As :meth:`volume`.
        """
        self._check_scanned()
        drives = tuple(self._drives.by_id.values())
        about = f"drives of node {self._drives.host.node}, see kubectl directpv list drives"
        found = summed_up([ailments_here(drive, about) for drive in drives])
        if self._drives.trouble:
            found = worst([ailment(Reason.SCAN_FAILED, f"node {self._drives.host.node}"), *found])
        return StorageHealth(ailments=found)

    def _check_scanned(self) -> None:
        if not self._drives.scanned:
            raise Unavailable(f"node {self._drives.host.node} is still looking for its drives; repeat soon")


def left_behind(drive: Drive) -> tuple[str, ...]:
    """Return the volumes of which a pod keeps what failed; of a drive that is not served, more is wrong."""
    return () if drive.trouble() else tuple(drive.left_behind)


def _left_behind(drive: Drive, name: str) -> tuple[Ailment, ...]:
    if name not in left_behind(drive):
        return ()
    return (ailment(Reason.VOLUME_LEFT_BEHIND, f"volume {name}", drive.fsuuid),)


def ailments_here(drive: Drive, about: str = "") -> tuple[Ailment, ...]:
    """Return what is wrong with a drive; ``about`` names several, whose ids are not told."""
    record = drive.record
    if about:
        return ailments_of(record.status, record.conditions, about)
    return ailments_of(record.status, record.conditions, f"drive {record.fsuuid} of {record.node}", record.fsuuid)


def summed_up(drives: Iterable[tuple[Ailment, ...]]) -> tuple[Ailment, ...]:
    """Return what the ailments of each drive mean for the node: it is out of reach when none of its drives serves."""
    every = list(drives)
    served = not every or any(all(each.effect != Effect.INACCESSIBLE for each in ailments) for ailments in every)
    effect = Effect.DEGRADED if served else Effect.INACCESSIBLE
    return worst(
        [
            Ailment(
                effect=effect if each.effect == Effect.INACCESSIBLE else Effect.DEGRADED,
                reason=each.reason,
                message=each.message,
            )
            for ailments in every
            for each in ailments
        ]
    )
