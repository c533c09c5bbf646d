"""Disks that were moved here from other nodes: shows them, and takes one in when the leader says so."""

import functools
import logging
from typing import Final

from msgspec.structs import replace

from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound
from directpv_common.protocol.messages import (
    AdoptDrive,
    DriveRecord,
    DriveStatus,
    ListSeenDrives,
    SeenDrive,
    SeenDrives,
    VolumeRecord,
)
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core.orders import Fences
from directpv_nodeagent.drives.core.standing import candidates
from directpv_nodeagent.drives.taken import retired
from directpv_nodeagent.drives.taken.failures import TakeOverFailed, words_of
from directpv_nodeagent.drives.taken.inspection import NotOurs
from directpv_nodeagent.drives.taken.moving_in import Shown, look, move_in
from directpv_nodeagent.drives.taken.work import Work
from directpv_nodeagent.drives.watching.scanner import PROBE_SECONDS
from directpv_nodeagent.layout.core.held import Drive

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
VOLUMES_AT_ONCE: Final = 300
"""On one page, with parameters and labels of each: less than a message holds."""


class Moved:
    """Drives on this node's devices, whosever they are."""

    def __init__(self, work: Work, fences: Fences) -> None:
        self._work = work
        self._drives = work.drives
        self._fences = fences
        self._adoptions: SingleFlight[DriveRecord] = SingleFlight()

    async def seen(self, request: ListSeenDrives) -> SeenDrives:
        """Return the drives that devices of this node carry; nothing is written to those of others.

        Raises:
            DriveFault: The devices cannot be probed.
        """
        found = await self._candidates()
        wanted = {each: devices for each, devices in found.items() if request.fsuuid in ("", each)}
        drives = [await self._seen(fsuuid, devices, request) for fsuuid, devices in sorted(wanted.items())]
        return SeenDrives(node=self._drives.host.node, drives=tuple(drives))

    async def _candidates(self) -> dict[str, list[DeviceFacts]]:
        known = {fsuuid: drive.device for fsuuid, drive in self._drives.by_id.items()}
        found = await self._drives.executors.run("devices", self._drives.prober.probe, PROBE_SECONDS, "probing devices")
        return candidates(found, known)

    async def _seen(self, fsuuid: str, devices: list[DeviceFacts], request: ListSeenDrives) -> SeenDrive:
        names = ", ".join(sorted(facts.name for facts in devices))
        drive = self._own(fsuuid)
        if drive is not None:
            return _told(fsuuid, names, Shown(drive.record, dict(drive.volumes)), request, drive.trouble())
        try:
            facts = _only(devices)
            shown = await self._drives.executors.run(
                fsuuid, functools.partial(look, self._drives.host, fsuuid, facts), LOOK_SECONDS, "looking at it"
            )
        except (DirectPVError, OSError) as error:
            return SeenDrive(fsuuid=fsuuid, device=names, problem=words_of(error))
        told = _told(fsuuid, names, shown, request, "")
        if told.retired or fsuuid not in self._drives.retired:
            return told
        since = functools.partial(retired.since, self._drives.host.root, fsuuid)
        when = await self._drives.executors.run("devices", since, LOOK_SECONDS, "reading when it was given up")
        return replace(told, retired=when or "some time while its disk was away")

    def _own(self, fsuuid: str) -> Drive | None:
        """Return the drive if it is this node's, and there."""
        drive = self._drives.by_id.get(fsuuid)
        return drive if drive is not None and drive.record.status is not DriveStatus.LOST else None

    async def adopt(self, order: AdoptDrive) -> DriveRecord:
        """Let a drive be this node's from now on; one that is already, is.

        Raises:
            Fenced: The order came from a leader that was replaced.
            NotFound: No device of this node carries it.
            FailedPrecondition: It cannot be used, or says that it is another one's than the leader thinks.
        """
        self._fences.check(order.fence)
        return await self._adoptions.run(order.fsuuid, order.from_node, lambda: self._adopt(order))

    async def _adopt(self, order: AdoptDrive) -> DriveRecord:
        fsuuid, host = order.fsuuid, self._drives.host
        drive = self._own(fsuuid)
        if drive is not None:
            return drive.record
        devices = (await self._candidates()).get(fsuuid)
        if not devices:
            raise NotFound(f"node {host.node}: no device carries drive {fsuuid}; put its disk in, then repeat")
        facts = _only(devices)
        work = functools.partial(move_in, host, fsuuid, facts, order.from_node)
        async with self._drives.device(facts.name):
            try:
                await self._drives.mounting(fsuuid, facts, work, "taking it in")
                adopted = await self._drives.adopt(fsuuid, facts)
            except (NotOurs, TakeOverFailed, OSError) as error:
                raise FailedPrecondition(f"{facts.name} of node {host.node}: {words_of(error)}") from error
        log.info("drive of another node taken in", extra={"drive": fsuuid, "device": facts.name, "of": order.from_node})
        return adopted.record


def _only(devices: list[DeviceFacts]) -> DeviceFacts:
    """Return the one device that carries a drive.

    Raises:
        FailedPrecondition: There are several, or it cannot be read; names them.
    """
    names = ", ".join(sorted(facts.name for facts in devices))
    if len(devices) > 1:
        raise FailedPrecondition(f"devices {names} carry the same file system; remove all but one, or use multipath")
    if devices[0].superblock is None:
        raise FailedPrecondition(f"{names}: {devices[0].unreadable or 'its super block cannot be read'}")
    if devices[0].mount_points:
        raise FailedPrecondition(f"{names} is mounted at {devices[0].mount_points[0]}; unmount it")
    return devices[0]


def _told(fsuuid: str, device: str, shown: Shown, request: ListSeenDrives, problem: str) -> SeenDrive:
    page, more = _page(shown.volumes, request.after) if request.fsuuid else ((), "")
    record = shown.record
    return SeenDrive(
        fsuuid=fsuuid,
        device=device,
        node=record.node if record is not None else "",
        total=record.total if record is not None else 0,
        retired=record.retired if record is not None else "",
        count=len(shown.volumes),
        volumes=page,
        more=more,
        problem=problem,
    )


def _page(volumes: dict[str, VolumeRecord], after: str) -> tuple[tuple[VolumeRecord, ...], str]:
    names = sorted(name for name in volumes if name > after)
    page = tuple(volumes[name] for name in names[:VOLUMES_AT_ONCE])
    return page, page[-1].name if len(names) > VOLUMES_AT_ONCE else ""
