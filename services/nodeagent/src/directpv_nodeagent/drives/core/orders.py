"""What the leader's orders mean for a drive's records; and whose orders count."""

from collections.abc import Iterable

from msgspec.structs import replace

from directpv_common.protocol.errors import Fenced
from directpv_common.protocol.messages import DriveRecord, Fence, VolumeRecord


class Fences:
    """Remembers the highest epoch per registry; an agent that restarts begins anew, which the registry's own
    fencing allows: a leader that was replaced cannot commit what it orders."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def check(self, fence: Fence) -> None:
        """Take note of who gives an order.

        Raises:
            Fenced: A later leader of the same registry was heard before.
        """
        highest = self._highest.get(fence.registry, 0)
        if fence.epoch < highest:
            raise Fenced(f"epoch {fence.epoch} of registry {fence.registry} is over; {highest} leads")
        self._highest[fence.registry] = fence.epoch


def by_drive(records: Iterable[VolumeRecord]) -> dict[str, list[VolumeRecord]]:
    """Return records by FSUUID; of several for one volume the last counts."""
    found: dict[str, dict[str, VolumeRecord]] = {}
    for record in records:
        found.setdefault(record.fsuuid, {})[record.name] = record
    return {fsuuid: list(records.values()) for fsuuid, records in found.items()}


def is_another(known: VolumeRecord, incarnation: str | None) -> bool:
    """Tell whether the volume on the drive is another one than an order means, though it has the same name.

    A leader of an earlier version tells no incarnation (None); neither does the record of a volume that it made.
    """
    return bool(known.incarnation) and incarnation is not None and incarnation != known.incarnation


def is_moved_from(fsuuid: str, ordered: VolumeRecord, found: VolumeRecord, *, lacks: bool) -> bool:
    """Tell whether what another drive has, not sealed, is the volume of an order for ``fsuuid``, moved away from there.

    Only a commit of the registry puts a volume of one incarnation on a second drive, and seals the first before.

    Args:
        fsuuid: The drive that is to have it.
        ordered: The volume, as the registry has it.
        found: The volume, as the other drive has it.
        lacks: Whether ``fsuuid`` was read, and does not have it. If not, the order in time of the two is told by their
            origins alone, as far as they tell it.
    """
    same = bool(ordered.incarnation) and found.incarnation == ordered.incarnation
    return same and (lacks or (fsuuid in found.origins and found.fsuuid not in (fsuuid, *ordered.origins)))


def merged(known: VolumeRecord | None, wanted: VolumeRecord) -> VolumeRecord:
    """Return the record to keep: what the leader wants, but never a smaller capacity or an empty date, nor its use.

    What it does not know of claim and PersistentVolume, or is of a version that never does, stays as it was.
    """
    if known is None:
        return wanted
    claim = wanted if wanted.pvc_name else known
    return replace(
        wanted,
        capacity=max(known.capacity, wanted.capacity),
        created=known.created or wanted.created,
        incarnation=known.incarnation or wanted.incarnation,
        pod_name=known.pod_name,
        pod_namespace=known.pod_namespace,
        pod_uid=known.pod_uid,
        used=known.used,
        pvc_name=claim.pvc_name,
        pvc_namespace=claim.pvc_namespace,
        pv=wanted.pv or known.pv,
    )


def decided(known: DriveRecord, wanted: DriveRecord) -> DriveRecord:
    """Return the drive's record with what people decided in ``wanted``; what the agent observes stays."""
    return replace(
        known, unschedulable=wanted.unschedulable, access_tier=wanted.access_tier, labels=dict(wanted.labels)
    )
