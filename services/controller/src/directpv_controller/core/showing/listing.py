"""Pages of drives and volumes, with filters."""

from collections.abc import Generator, Iterable
from itertools import islice
from typing import Final

from sortedcontainers import SortedList

from directpv_common.protocol.messages import (
    CONTESTED_AT_MOST,
    Capacity,
    DriveInfo,
    DrivePage,
    DriveStatus,
    ExplainPlacement,
    Filters,
    GetCapacity,
    GivenUpDrive,
    ListDrives,
    ListVolumes,
    Placement,
    VolumeInfo,
    VolumePage,
    VolumeStatus,
    VolumeUse,
)
from directpv_common.protocol.reasons import told
from directpv_controller.core.placing.candidates import SHOWN, placement_of
from directpv_controller.core.placing.model import Drive, Node, Volume
from directpv_controller.core.placing.wanted import Need, need_from, wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing import paging
from directpv_controller.core.showing.contested import doubt_in_words
from directpv_controller.core.showing.paging import PAGE, after, page, token

_NO_USE: Final = VolumeUse()


def drive_info(drive: Drive) -> DriveInfo:
    """Return the drive as others see it."""
    return DriveInfo(
        record=drive.record,
        free=drive.free,
        allocated=drive.allocated,
        volumes=len(drive.volumes),
        online=not drive.offline,
        contested=dict(islice(sorted(drive.contested.items()), CONTESTED_AT_MOST)),
        contesting=len(drive.contested),
        strays=drive.strays,
    )


def volume_info(ledger: Ledger, volume: Volume) -> VolumeInfo:
    """Return the volume as others see it."""
    drive = ledger.drives[volume.record.fsuuid]
    condition = condition_of(drive, volume) or doubt_in_words(ledger, volume.record.name)
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
    """Return Lost with its drive, Bound while published, Pending until it is staged for the first time, else Ready."""
    if volume.record.deleting:
        return VolumeStatus.DELETING
    if drive.record.status in (DriveStatus.LOST, DriveStatus.REMOVED):
        return VolumeStatus.LOST
    if volume.use is not None and volume.use.published:
        return VolumeStatus.BOUND
    used = volume.record.used or volume.record.pod_name or (volume.use is not None and volume.use.staged)
    return VolumeStatus.READY if used else VolumeStatus.PENDING


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
        why = "; ".join(map(told, record.conditions))
        return f"drive {record.fsuuid} on node {record.node} serves it, but {why}"
    return ""


def list_drives(ledger: Ledger, request: ListDrives) -> DrivePage:
    """Return one page, ordered by id.

    Raises:
        InvalidToken: ``token`` was not handed out by :func:`list_drives`.
    """
    if request.given_up:
        return _given_up(ledger, request)
    start, passes = after(request.token, "d"), _DriveFilter(request)
    ids = _ordered(ledger.drive_ids, _few_drives(ledger, request), start)

    def show(fsuuid: str) -> DriveInfo | None:
        drive = ledger.drives[fsuuid]
        return drive_info(drive) if passes(drive) else None

    drives, following = page(ids, show, request.limit)
    return DrivePage(drives=drives, next=token("d", following))


def _given_up(ledger: Ledger, request: ListDrives) -> DrivePage:
    """Return one page of the drives that were given up, with node, device and time."""
    past = {**ledger.past, **ledger.retired}
    start = after(request.token, "p")

    def show(fsuuid: str) -> GivenUpDrive | None:
        each = past[fsuuid]
        told = not request.nodes or each.node in request.nodes
        if not told or fsuuid in ledger.drives or (request.devices and each.device not in request.devices):
            return None
        return GivenUpDrive(fsuuid=fsuuid, node=each.node, device=each.device, since=each.since)

    drives, following = page(sorted(fsuuid for fsuuid in past if fsuuid > start), show, request.limit)
    return DrivePage(drives=(), given_up=drives, next=token("p", following))


def list_volumes(ledger: Ledger, request: ListVolumes) -> VolumePage:
    """Return one page of volumes, ordered by name; those that are being deleted only if asked for.

    Raises:
        InvalidToken: ``token`` was not handed out by :func:`list_volumes`.
    """
    if request.given_up:
        return _ordered_away(ledger, request)
    start, passes = after(request.token, "v"), _VolumeFilter(request)
    volume_names = _ordered(ledger.volume_names, _few_volumes(ledger, request), start)

    def show(name: str) -> VolumeInfo | None:
        volume = ledger.volumes[name]
        return volume_info(ledger, volume) if passes(ledger.drives[volume.record.fsuuid], volume) else None

    volumes, following = page(volume_names, show, request.limit)
    return VolumePage(volumes=volumes, next=token("v", following))


def _ordered_away(ledger: Ledger, request: ListVolumes) -> VolumePage:
    """Return the volumes of drives that were given up whose deletion was acknowledged, and not carried out."""
    found = {
        f"{record.name}/{fsuuid}": VolumeInfo(record=record, node=retired.node, status=VolumeStatus.DELETING)
        for fsuuid, retired in ledger.retired.items()
        for record in retired.deleting
    }
    start = after(request.token, "g")
    volumes, following = page(sorted(key for key in found if key > start), found.get, request.limit)
    return VolumePage(volumes=volumes, next=token("g", following))


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


def placement(ledger: Ledger, request: ExplainPlacement) -> Generator[None, None, Placement]:
    """Return what would become of a volume; of one that is placed, where it is. Others may have their turn at yields.

    Raises:
        InvalidRequest: It can never be placed; ``field`` names why.
    """
    wanted = wanted_from(request)
    held = ledger.volumes.get(wanted.name)
    if held is not None:
        return Placement(drive=held.record.fsuuid)
    shown = min(request.show or SHOWN, PAGE)
    return (yield from placement_of(wanted, ledger.index, ledger.drives.values(), len(ledger.drives), shown))


def _ordered(every: SortedList[str], few: Iterable[str] | None, start: str) -> Iterable[str]:
    """Return the keys after ``start``, in order: those that an index gave, or every one there is, to be filtered."""
    if few is not None:
        return sorted(key for key in few if key > start)
    rest: Iterable[str] = every.irange(start, inclusive=(False, False)) if start else iter(every)
    return rest


def _few_drives(ledger: Ledger, request: ListDrives) -> Iterable[str] | None:
    """Return the drives that can be meant; None: more than are worth sorting for a page."""
    if request.ids:
        found = set(request.ids) & ledger.drives.keys()
        return found if len(found) <= paging.LOOK_AT_MOST else None
    if not request.nodes:
        return None
    nodes = _nodes(ledger, request)
    few = sum(len(node.drives) for node in nodes) <= paging.LOOK_AT_MOST
    return (fsuuid for node in nodes for fsuuid in node.drives) if few else None


def _few_volumes(ledger: Ledger, request: ListVolumes) -> Iterable[str] | None:
    """Return the volumes that can be meant; None: more than are worth sorting for a page."""
    if request.names:
        found = set(request.names) & ledger.volumes.keys()
        return found if len(found) <= paging.LOOK_AT_MOST else None
    if not request.drives and not request.nodes:
        return None
    if request.drives:
        held = [ledger.drives[fsuuid].volumes for fsuuid in set(request.drives) & ledger.drives.keys()]
    elif sum(node.volumes for node in _nodes(ledger, request)) <= paging.LOOK_AT_MOST:
        held = [drive.volumes for node in _nodes(ledger, request) for drive in node.drives.values()]
    else:
        return None
    few = sum(map(len, held)) <= paging.LOOK_AT_MOST
    return (name for volumes in held for name in volumes) if few else None


def _nodes(ledger: Ledger, request: Filters) -> list[Node]:
    return [ledger.nodes[name] for name in set(request.nodes) & ledger.nodes.keys()]


class _DriveFilter:
    """Whether a drive is asked for; a page looks at thousands."""

    def __init__(self, request: ListDrives) -> None:
        self._ids, self._nodes, self._devices = map(frozenset, (request.ids, request.nodes, request.devices))
        self._unwell = request.unwell
        self._statuses, self._labels = frozenset(request.statuses), request.labels.items()

    def __call__(self, drive: Drive) -> bool:
        record = drive.record
        return (
            (not self._ids or record.fsuuid in self._ids)
            and (not self._nodes or record.node in self._nodes)
            and (not self._devices or record.device in self._devices)
            and (not self._statuses or record.status in self._statuses)
            and not (self._unwell and record.status is DriveStatus.READY)
            and self._labels <= record.labels.items()
        )


class _VolumeFilter:
    """Whether a volume is asked for, given its drive."""

    def __init__(self, request: ListVolumes) -> None:
        self._names, self._drives = frozenset(request.names), frozenset(request.drives)
        self._nodes, self._devices = frozenset(request.nodes), frozenset(request.devices)
        self._statuses, self._labels = frozenset(request.statuses), request.labels.items()
        self._deleting = request.deleting or VolumeStatus.DELETING in self._statuses

    def __call__(self, drive: Drive, volume: Volume) -> bool:
        record = volume.record
        return (
            (self._deleting or not record.deleting)
            and (not self._names or record.name in self._names)
            and (not self._drives or record.fsuuid in self._drives)
            and (not self._nodes or drive.record.node in self._nodes)
            and (not self._devices or drive.record.device in self._devices)
            and (not self._statuses or status_of(drive, volume) in self._statuses)
            and self._labels <= record.labels.items()
        )
