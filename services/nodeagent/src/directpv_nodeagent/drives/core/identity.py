"""Which drive has a volume. A name alone never decides between two: a moved, copied or restored volume has its own.

    several drives have the name
      1 the leader said of all but one that they are copies          what the registry promised
      2 one has the incarnation that the volume context names        made with the volume
      3 the volume context names the drive                           written when it was created
      4 one is mounted                                               a pod works on it
    else none is served, since the other one may be the volume.

The first two also hold if a single drive has the name, and the third if it contradicts: that drive has a copy then, and
the volume is elsewhere, perhaps on a disk that is away.
"""

from collections.abc import Sequence

from directpv_common.protocol.errors import FailedPrecondition, Unavailable
from directpv_common.protocol.messages import VolumeUse
from directpv_nodeagent.layout.core.held import Drive

_NO_USE = VolumeUse()


def chosen(
    name: str, holders: Sequence[Drive], hint: str = "", incarnation: str = "", *, complete: bool = True
) -> Drive | None:
    """Return the drive that has the volume; None if no drive has one of that name.

    Args:
        name: The volume.
        holders: Drives that have a volume of that name.
        hint: The drive that the volume context names; empty if it names none.
        incarnation: That of the volume context; empty if it has none.
        complete: Whether all drives of the node were looked at; before, there may be another one.

    Raises:
        FailedPrecondition: Drives have the name, and it cannot be told that one of them has the volume.
        Unavailable: It cannot be told yet.
    """
    if not holders:
        return None
    found = _spoken_for(name, holders, hint, incarnation)
    if found is None and not complete:
        raise Unavailable(f"{name}: the drives of this node are still being looked at; repeat soon")
    return found or _only(name, holders, hint)


def _spoken_for(name: str, holders: Sequence[Drive], hint: str, incarnation: str) -> Drive | None:
    """Return the drive for which more than the name speaks, or None."""
    copies = [drive for drive in holders if name in drive.strays]
    if copies:
        homes = {drive.strays[name] for drive in copies}
        return next((drive for drive in holders if drive.fsuuid in homes and drive not in copies), None)
    same = [drive for drive in holders if incarnation and drive.volumes[name].incarnation == incarnation]
    if len(same) == 1:
        return same[0]
    if hint:
        return _named(name, same or holders, hint)
    mounted = [drive for drive in holders if drive.use(name) != _NO_USE]
    return mounted[0] if len(mounted) == 1 else None


def _named(name: str, holders: Sequence[Drive], hint: str) -> Drive | None:
    """Return the drive that the volume context names, or the one to which the volume was moved from there."""
    moved = [drive for drive in holders if hint in drive.volumes[name].origins]
    return next((drive for drive in (*moved, *holders) if drive in moved or drive.fsuuid == hint), None)


def _only(name: str, holders: Sequence[Drive], hint: str) -> Drive:
    """Return the only drive with the name, if nothing speaks against it.

    Raises:
        FailedPrecondition: It has, or may have, a copy; or there are several.
    """
    homes = [drive.strays[name] for drive in holders if name in drive.strays]
    if homes:
        raise FailedPrecondition(
            f"{name} is on drive {homes[0]}, as the registry has it; what {_all(holders)} has under that name is a "
            "copy, and not served. Put that drive back"
        )
    if hint:
        raise FailedPrecondition(
            f"{name} was created on drive {hint}, and only {_all(holders)} has a volume of that name, which may be a "
            "copy and is not served. Put that drive back, or restore the volume there"
        )
    if len(holders) > 1:
        raise FailedPrecondition(doubt(name, holders))
    return holders[0]


def doubt(name: str, holders: Sequence[Drive]) -> str:
    """Return in words that nobody knows which of ``holders`` has the volume, with what to do."""
    return (
        f"{_all(holders)} both have a volume {name}, and nothing says which one is meant; none is served. Rename the "
        "directory of the copy (and take its record out of .directpv/volumes), or unplug its drive, then restart the "
        "node agent"
    )


def _all(drives: Sequence[Drive]) -> str:
    return " and ".join(drive.describe() for drive in drives)


def mounted_at(name: str, holders: Sequence[Drive], path: str) -> Drive | None:
    """Return the drive whose volume of that name is mounted at ``path``, or None."""
    for drive in holders:
        use = drive.use(name)
        if path and (path == use.staged or path in use.published or path == drive.staging_paths.get(name)):
            return drive
    return None


def contested(drive: Drive, others: Sequence[Drive]) -> frozenset[str]:
    """Return the volumes of ``drive`` that another drive has too, so that nobody knows which one is meant."""
    mine = drive.volumes.keys() - drive.strays.keys()
    if not mine:
        return frozenset()
    return frozenset(
        name for other in others if other is not drive for name in mine & (other.volumes.keys() - other.strays.keys())
    )
