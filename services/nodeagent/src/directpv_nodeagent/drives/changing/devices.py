"""Answers what is asked about devices and drives: list, format, update."""

import asyncio
import functools
import logging
import uuid
from typing import Final

from msgspec.structs import replace

from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition
from directpv_common.protocol.messages import (
    Device,
    DeviceList,
    Done,
    DriveRecord,
    DriveStatus,
    Empty,
    FormatDevice,
    FormatDevices,
    FormatResult,
    FormatResults,
    UpdateDrive,
)
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.rules import describe
from directpv_nodeagent.devices.core.signatures import looks_like_drive
from directpv_nodeagent.drives.core.orders import Fences, decided
from directpv_nodeagent.drives.filesystem.mkfs import format_device
from directpv_nodeagent.drives.filesystem.occupied import why_kept
from directpv_nodeagent.drives.taken import inspection, takeover
from directpv_nodeagent.drives.taken.failures import TakeOverFailed
from directpv_nodeagent.drives.taken.inspection import NotOurs
from directpv_nodeagent.drives.taken.work import Work
from directpv_nodeagent.drives.watching.scanner import PROBE_SECONDS
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.linux.quota import NO_KERNEL_QUOTA, kernel_lacks_quota

log = logging.getLogger(__name__)

REMEMBERED: Final = 10_000
"""Results of formatting that are kept for repeats of the request."""


class Devices:
    """Block devices of this node, and what becomes of them."""

    def __init__(self, work: Work, fences: Fences) -> None:
        self._work = work
        self._fences = fences
        self._formats: SingleFlight[FormatResult] = SingleFlight()
        self._lists: SingleFlight[DeviceList] = SingleFlight()
        self._done: dict[str, str] = {}

    async def list(self, request: Empty) -> DeviceList:
        """Return all devices that the agent may touch, with the reasons why some may not be formatted.

        Who repeats the question while disks are read gets the answer to the first one: slow disks take longer than
        askers wait for one answer.
        """
        return await self._lists.run("devices", request, self._list)

    async def _list(self) -> DeviceList:
        drives = self._work.drives
        probe = functools.partial(drives.prober.probe, thorough=True)
        found = await drives.executors.run("devices", probe, PROBE_SECONDS, "probing devices")
        node, own = drives.host.node, self._own()
        devices = [describe(facts, node, registered=frozenset(), own=own) for facts in found]
        shown = await asyncio.gather(*(self._with_volumes(*pair) for pair in zip(devices, found, strict=True)))
        return DeviceList(node=node, devices=tuple(map(self._with_past, shown)))

    async def _with_volumes(self, device: Device, facts: DeviceFacts) -> Device:
        """Say of a device that could be formatted that it will not be: it is a drive that holds volumes.

        One that is worked on, or does not answer, is looked at when it is to be formatted.
        """
        drives = self._work.drives
        if device.denied or drives.busy_devices[device.name] or not looks_like_drive(facts):
            return device
        look = functools.partial(inspection.volumes_on, drives.host.root)
        try:
            async with drives.device(device.name):
                why = await why_kept(drives.prober, facts, look)
        except DirectPVError as error:
            log.info("device not looked into", extra={"device": device.name, "error": error.message})
            return device
        return replace(device, denied=(why,)) if why else device

    def _with_past(self, device: Device) -> Device:
        """Say of a device that it carries a drive that was given up."""
        why = self._work.drives.retired.get(device.fsuuid)
        return replace(device, fs_type=f"{device.fs_type}: {why}") if why else device

    def _own(self) -> frozenset[str]:
        """Return FSUUIDs of all drives, and the numbers of their devices, as far as they are there."""
        drives = self._work.drives.by_id
        present = (drive for drive in drives.values() if drive.record.status is not DriveStatus.LOST)
        return frozenset(drives) | {drive.view.device for drive in present}

    async def format(self, request: FormatDevices) -> FormatResults:
        """Make drives of devices, all at the same time; one result for each, in the order asked.

        Raises:
            Fenced: The order came from a leader that was replaced.
        """
        self._fences.check(request.fence)
        registered = frozenset(request.registered)
        results = await asyncio.gather(*(self._format_once(device, registered) for device in request.devices))
        return FormatResults(node=self._work.drives.host.node, results=tuple(results))

    async def _format_once(self, device: FormatDevice, registered: frozenset[str]) -> FormatResult:
        """Format one device, or return what came of it when the same was asked before."""
        before = self._work.drives.by_id.get(self._done.get(device.id, ""))
        if before is not None:
            return FormatResult(name=device.name, drive=before.record, existed=True)
        try:
            return await self._formats.run(device.id, device, lambda: self._format(device, registered))
        except DirectPVError as error:
            return FormatResult(name=device.name, error=error.message)

    async def _format(self, device: FormatDevice, registered: frozenset[str]) -> FormatResult:
        drives = self._work.drives
        if drives.host.quota_required and kernel_lacks_quota():
            raise FailedPrecondition(NO_KERNEL_QUOTA)
        drives.busy_devices[device.name] += 1
        try:
            async with drives.device(device.name):
                drive = await self._make_drive(device, registered)
        finally:
            drives.busy_devices[device.name] -= 1
        if len(self._done) < REMEMBERED:
            self._done[device.id] = drive.fsuuid
        return FormatResult(name=device.name, drive=drive.record)

    async def _make_drive(self, device: FormatDevice, registered: frozenset[str]) -> Drive:
        """mkfs, layout, mount; after a failure the device is left unmounted, with a file system that nobody knows."""
        drives, fsuuid = self._work.drives, str(uuid.uuid4())
        host, prober = drives.host, drives.prober
        own = self._own()
        await format_device(
            prober, host.node, device, registered=registered, own=own, fsuuid=fsuuid,
            volumes_on=functools.partial(inspection.volumes_on, host.root),
        )  # fmt: skip
        facts = await drives.executors.run(
            "devices", lambda: prober.probe_one(device.name), PROBE_SECONDS, f"probing {device.name}"
        )
        if facts is None or facts.superblock is None or facts.superblock.fsuuid != fsuuid:
            raise FailedPrecondition(f"{device.name} vanished after it was formatted; plug it in and format it again")
        found = facts
        try:
            await drives.mounting(fsuuid, found, lambda: takeover.lay_out(host, fsuuid, found), "laying it out")
            return await drives.adopt(fsuuid, found)
        except (TakeOverFailed, NotOurs) as error:
            raise FailedPrecondition(
                f"{device.name} was formatted, but cannot be used: {error}; format it again with force"
            ) from error

    async def update(self, request: UpdateDrive) -> Done:
        """Keep on the drive what people decided about it.

        Raises:
            Fenced: The order came from a leader that was replaced.
            NotFound: This node has no such drive.
            FailedPrecondition: It cannot be written now.
        """
        self._fences.check(request.fence)
        drive = self._work.drives.get(request.record.fsuuid)
        async with self._work.turns.take(f"drive {drive.fsuuid}", kind="prepare") as turn:
            view, record = drive.view, decided(drive.record, request.record)
            try:
                drive.check_usable()
            except FailedPrecondition:
                # Whoever suspends a drive that has failed wants pods to start now. It is forgotten when the drive is
                # read again, and ordered again by the leader, which compares.
                self._decide(drive, record)
                raise
            if record != drive.record:
                await self._work.on(
                    turn, drive, lambda: volume_dirs.write_drive_record(view, record), f"updating {drive.fsuuid}"
                )
                self._decide(drive, record)
        return Done()

    def _decide(self, drive: Drive, record: DriveRecord) -> None:
        if drive.change(unschedulable=record.unschedulable, access_tier=record.access_tier, labels=record.labels):
            self._work.drives.on_change()
