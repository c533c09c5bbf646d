"""What is wrong with volumes, as the leader sees it.

Source: CSI 1.13, ControllerGetVolumeHealth, ControllerListVolumeHealth.
"""

from collections.abc import Collection, Iterator

from directpv_common.protocol.messages import (
    Ailment,
    DriveStatus,
    GetVolumeHealth,
    ListVolumeHealth,
    VolumeHealth,
    VolumeHealthPage,
)
from directpv_common.protocol.reasons import Reason, ailment, ailments_of, worst
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing.contested import doubts_about
from directpv_controller.core.showing.paging import after, page, token


def volume_health(ledger: Ledger, request: GetVolumeHealth) -> VolumeHealth:
    """Return what is wrong with one volume.

    Raises:
        NotFound: There is no such volume.
    """
    name, doubt = request.name, doubts_about(ledger, request.name)
    if doubt and name not in ledger.volumes:
        return VolumeHealth(name=name, ailments=doubt)
    found = ailments_on(ledger.drives[ledger.volume(name).record.fsuuid])
    return VolumeHealth(name=name, ailments=worst((*found, *doubt)))


def list_volume_health(ledger: Ledger, request: ListVolumeHealth) -> VolumeHealthPage:
    """Return one page of the volumes that are not well, in order of drive and name: the others are left out.

    Raises:
        InvalidToken: ``token`` was not handed out here.
    """
    start = after(request.token, "h")
    told: dict[str, tuple[Ailment, ...]] = {}

    def show(key: str) -> VolumeHealth | None:
        fsuuid, _, name = key.partition("/")
        volume, doubt = ledger.volumes.get(name), doubts_about(ledger, name)
        if volume is None:
            return VolumeHealth(name=name, ailments=doubt) if doubt else None
        if volume.record.deleting:
            return None
        if fsuuid not in told:
            told[fsuuid] = ailments_on(ledger.drives[fsuuid])
        return VolumeHealth(name=name, ailments=worst((*told[fsuuid], *doubt)) if doubt else told[fsuuid])

    volumes, following = page(_unwell(ledger, start), show, request.limit)
    return VolumeHealthPage(volumes=volumes, next=token("h", following))


def _unwell(ledger: Ledger, start: str) -> Iterator[str]:
    """Return ``drive/volume`` for each volume after ``start`` whose drive is not well, or of which there are several.

    Of a drive that is well, or has none, ``drive/``: a page counts at how many drives it looks.
    """
    first, _, last = start.partition("/")
    for fsuuid in ledger.drive_ids.irange(first) if first else ledger.drive_ids:
        if names := _unwell_on(ledger, ledger.drives[fsuuid]):
            for name in sorted(names):
                if fsuuid != first or name > last:
                    yield f"{fsuuid}/{name}"
        else:
            yield f"{fsuuid}/"


def _unwell_on(ledger: Ledger, drive: Drive) -> Collection[str]:
    """Return the volumes of a drive that are not well, with those of which the registry has none at all."""
    mine: Collection[str] = drive.volumes if is_unwell(drive) else ledger.contested.keys() & drive.volumes.keys()
    nobodys = [name for name in drive.contested if name not in ledger.volumes]
    return {*mine, *(name for name in nobodys if min(ledger.contested[name]) == drive.fsuuid)} if nobodys else mine


def is_unwell(drive: Drive) -> bool:
    """Tell whether anything is wrong with a drive; cheap, for a list looks at all of them."""
    record = drive.record
    return (
        bool(record.conditions)
        or record.status is not DriveStatus.READY
        or drive.offline
        or drive.overcommitted
        or not drive.known
    )


def ailments_on(drive: Drive) -> tuple[Ailment, ...]:
    """Return what is wrong with the volumes of a drive, the worst first; nothing if it is well."""
    record = drive.record
    about = f"drive {record.fsuuid} of {record.node}"
    if not drive.known:
        return (ailment(Reason.DRIVE_UNKNOWN, about, record.fsuuid),)
    found = list(ailments_of(record.status, record.conditions, about, record.fsuuid))
    if drive.offline:
        found.append(ailment(Reason.NODE_OFFLINE, about, record.fsuuid))
    if drive.overcommitted:
        found.append(ailment(Reason.DRIVE_IS_OVERCOMMITTED, about, record.fsuuid))
    return worst(found)
