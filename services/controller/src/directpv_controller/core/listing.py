"""Pages of drives and volumes, with filters."""

from collections.abc import Iterable, Iterator
from typing import Final

from directpv_common.messages import (
    Capacity,
    DriveInfo,
    DrivePage,
    DriveStatus,
    GetCapacity,
    ListDrives,
    ListVolumes,
    VolumeInfo,
    VolumePage,
    VolumeStatus,
    VolumeUse,
)
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.model import Drive, Volume
from directpv_controller.core.paging import after, page, token
from directpv_controller.core.wanted import Need, need_from

_NO_USE: Final = VolumeUse()


def drive_info(drive: Drive) -> DriveInfo:
    """Return the drive as others see it."""
    return DriveInfo(
        record=drive.record,
        free=drive.free,
        allocated=drive.allocated,
        volumes=len(drive.volumes),
        online=not drive.offline,
    )


def volume_info(ledger: Ledger, volume: Volume) -> VolumeInfo:
    """Return the volume as others see it."""
    drive = ledger.drives[volume.record.fsuuid]
    condition = condition_of(drive, volume)
    return VolumeInfo(
        record=volume.record,
        node=drive.record.node,
        device=drive.record.device,
        topology=drive.record.topology,
        use=volume.use or _NO_USE,
        status=status_of(drive, volume),
        abnormal=bool(condition),
        condition=condition or "the volume is well",
    )


def status_of(drive: Drive, volume: Volume) -> VolumeStatus:
    """Return Lost with its drive, Bound while published, Ready once its directory was seen, and Pending before."""
    if volume.record.deleting:
        return VolumeStatus.RELEASED
    if drive.record.status in (DriveStatus.LOST, DriveStatus.REMOVED):
        return VolumeStatus.LOST
    if volume.use is not None and volume.use.published:
        return VolumeStatus.BOUND
    return VolumeStatus.READY if volume.seen else VolumeStatus.PENDING


def condition_of(drive: Drive, volume: Volume) -> str:
    """Return what is wrong with the volume, or an empty string."""
    record = drive.record
    if not drive.known:
        return f"drive {record.fsuuid} is not registered, and no node has reported it"
    if record.status is not DriveStatus.READY:
        why = "; ".join(condition.message for condition in record.conditions)
        return f"drive {record.fsuuid} on node {record.node} is {record.status.value}{f': {why}' if why else ''}"
    if drive.offline:
        return f"node {record.node} of drive {record.fsuuid} is offline: its agent is not heard"
    if drive.overcommitted:
        return f"drive {record.fsuuid} on node {record.node} has less space than its volumes were promised"
    if record.conditions:
        why = "; ".join(f"{condition.type}: {condition.message}" for condition in record.conditions)
        return f"drive {record.fsuuid} on node {record.node} serves it, but {why}"
    return ""


def list_drives(ledger: Ledger, request: ListDrives) -> DrivePage:
    """Return one page, ordered by id.

    Raises:
        InvalidToken: ``token`` was not handed out by :func:`list_drives`.
    """
    start = after(request.token, "d")
    ids: Iterable[str]
    if request.ids:
        ids = sorted(fsuuid for fsuuid in set(request.ids) & ledger.drives.keys() if fsuuid > start)
    elif request.nodes:
        ids = sorted(fsuuid for fsuuid in _of_nodes(ledger, request.nodes) if fsuuid > start)
    else:
        ids = ledger.drive_ids.irange(start, inclusive=(False, False)) if start else iter(ledger.drive_ids)

    def show(fsuuid: str) -> DriveInfo | None:
        drive = ledger.drives[fsuuid]
        return drive_info(drive) if _drive_passes(drive, request) else None

    drives, following = page(ids, show, request.limit)
    return DrivePage(drives=drives, next=token("d", following))


def list_volumes(ledger: Ledger, request: ListVolumes) -> VolumePage:
    """Return one page of volumes that are not being deleted, ordered by name.

    Raises:
        InvalidToken: ``token`` was not handed out by :func:`list_volumes`.
    """
    start = after(request.token, "v")
    volume_names: Iterable[str]
    if request.names:
        volume_names = sorted(name for name in set(request.names) & ledger.volumes.keys() if name > start)
    elif request.drives or request.nodes:
        drives = request.drives or _of_nodes(ledger, request.nodes)
        held = (ledger.drives[fsuuid].volumes for fsuuid in set(drives) & ledger.drives.keys())
        volume_names = sorted(name for volumes in held for name in volumes if name > start)
    else:
        volume_names = (
            ledger.volume_names.irange(start, inclusive=(False, False)) if start else iter(ledger.volume_names)
        )

    def show(name: str) -> VolumeInfo | None:
        volume = ledger.volumes[name]
        return volume_info(ledger, volume) if _volume_passes(ledger, volume, request) else None

    volumes, following = page(volume_names, show, request.limit)
    return VolumePage(volumes=volumes, next=token("v", following))


def need_of(request: GetCapacity) -> Need:
    """Return which drives are asked about.

    Raises:
        InvalidRequest: A parameter is malformed.
    """
    return need_from(request.parameters, request.accessible)


def capacity(ledger: Ledger, request: GetCapacity) -> Capacity:
    """Return what a volume with these parameters could get.

    Raises:
        InvalidRequest: A parameter is malformed.
    """
    available, maximum = ledger.index.capacity(need_of(request))
    return Capacity(available=available, maximum=maximum)


def _of_nodes(ledger: Ledger, nodes: Iterable[str]) -> Iterator[str]:
    for node in set(nodes) & ledger.nodes.keys():
        yield from ledger.nodes[node].drives


def _drive_passes(drive: Drive, request: ListDrives) -> bool:
    record = drive.record
    return (
        (not request.nodes or record.node in request.nodes)
        and (not request.devices or record.device in request.devices)
        and (not request.statuses or record.status in request.statuses)
        and request.labels.items() <= record.labels.items()
    )


def _volume_passes(ledger: Ledger, volume: Volume, request: ListVolumes) -> bool:
    record = volume.record
    drive = ledger.drives[record.fsuuid]
    return (
        not record.deleting
        and (not request.nodes or drive.record.node in request.nodes)
        and (not request.devices or drive.record.device in request.devices)
        and (not request.drives or record.fsuuid in request.drives)
        and (not request.statuses or status_of(drive, volume) in request.statuses)
        and request.labels.items() <= record.labels.items()
    )
