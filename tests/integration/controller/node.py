"""A node agent as the controller knows one: an honest peer on the real bus that keeps its drives in memory."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.service import serve
from directpv_common.protocol import names
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import (
    MOUNTED,
    DriveFault,
    FailedPrecondition,
    Fenced,
    Internal,
    NotFound,
    Unavailable,
)

GIB = 1024**3
BEAT_SECONDS = 0.2


def pod_of(record: m.VolumeRecord) -> dict[str, str]:
    """What only the node knows of a volume."""
    return {"pod_name": record.pod_name, "pod_namespace": record.pod_namespace, "pod_uid": record.pod_uid}


class PlayedDrive:
    """One drive: its record and what is on it."""

    def __init__(self, record: m.DriveRecord) -> None:
        self.record = record
        self.generation = 1
        self.volumes: dict[str, m.VolumeRecord] = {}
        self.uses: dict[str, m.VolumeUse] = {}
        self.sealed: dict[str, tuple[str, str]] = {}
        """Volumes that were copied: id of the move, and the drive that has the copy."""
        self.readable = True

    def held(self) -> m.HeldDrive:
        volumes = tuple(
            m.HeldVolume(
                record=v,
                use=self.uses.get(v.name, m.VolumeUse()),
                stray_of=self.sealed.get(v.name, ("", ""))[1],
                sealed=self.sealed.get(v.name, ("", ""))[0],
            )
            for v in self.volumes.values()
        )
        return m.HeldDrive(
            record=self.record,
            generation=self.generation,
            readable=self.readable,
            volumes=volumes if self.readable else (),
        )


class PlayedNode:
    """Answers the orders of the leader, and refuses those of an older epoch."""

    def __init__(self, name: str, beat_seconds: float = BEAT_SECONDS) -> None:
        self.name = name
        self.beat_seconds = beat_seconds
        self.boot = str(uuid.uuid4())
        self.sequence = 0
        self.drives: dict[str, PlayedDrive] = {}
        self.foreign: dict[str, PlayedDrive] = {}
        """Drives on its devices that say that they are another node's."""
        self.devices: dict[str, m.Device] = {}
        self.epochs: dict[str, int] = {}
        self.formats: list[m.FormatDevices] = []
        self.prepared: list[str] = []
        self.repairs: list[m.OrderRepair] = []
        self.lit: dict[str, bool] = {}
        """Lights of the drives' bays."""
        self._called = asyncio.Event()
        self.silent = False
        """It lives, but nothing is heard of it."""
        self.failing = 0
        """So many orders to prepare fail."""
        self.slow: dict[str, asyncio.Event] = {}
        """Drives that tell what is on them only after this."""
        self.page = 0
        """Volumes in one part of an inventory; 0: all in one."""
        self.next_part: asyncio.Event | None = None
        """Every part of a drive but the first is told only after this."""
        self.unavailable_parts = 0
        """So many parts but the first are not told at all."""
        self.mute: set[str] = set()
        """Drives of which no inventory can be told."""
        self.mounted = ""
        """Its drives cannot be reached; it says so of removals, and whether volumes are mounted: ``yes`` or ``no``."""
        self.noted: set[str] = set()
        """Drives whose disks say that they were given up."""
        self.releases: list[m.ReleaseDrive] = []
        self.at_work = 0
        """So many orders to release a drive are answered with: not yet."""
        self.unwritable = False
        """Its disks cannot be told that they are given up."""
        self.used = ""
        """Why it releases no drive."""
        self.looks = 2
        """So often a move is asked about until all is copied."""
        self.copies: dict[str, int] = {}
        """How often each move was asked about."""
        self.fails = ""
        """Why it cannot copy."""
        self.stuck: asyncio.Event | None = None
        """Removals are carried out at once, and answered only after this."""

    @property
    def info(self) -> m.NodeInfo:
        return m.NodeInfo(name=self.name, topology={names.NODE: self.name, names.ZONE: "z1"})

    def add_drive(self, total: int = 100 * GIB, **facts: object) -> str:
        fsuuid = str(facts.pop("fsuuid", uuid.uuid4()))
        record = m.DriveRecord(
            fsuuid=fsuuid, node=self.name, total=total, overhead=GIB, device="sda", topology=self.info.topology
        )
        self.drives[fsuuid] = PlayedDrive(msgspec.structs.replace(record, **facts))
        return fsuuid

    def restart(self) -> None:
        self.boot, self.sequence = str(uuid.uuid4()), 0

    @property
    def state(self) -> m.NodeState:
        self.sequence += 1
        generations = {fsuuid: drive.generation for fsuuid, drive in self.drives.items()}
        unwell = {
            fsuuid: m.DriveHealth(status=drive.record.status, conditions=drive.record.conditions)
            for fsuuid, drive in self.drives.items()
            if drive.record.status is not m.DriveStatus.READY
        }
        return m.NodeState(info=self.info, boot=self.boot, sequence=self.sequence, drives=generations, unwell=unwell)

    def volumes(self) -> dict[str, m.VolumeRecord]:
        return {name: record for drive in self.drives.values() for name, record in drive.volumes.items()}

    def publish(self, name: str, target: str, **pod: str) -> None:
        """Mount a volume for a pod, and note on the drive which it is."""
        fsuuid = next(fsuuid for fsuuid, drive in self.drives.items() if name in drive.volumes)
        with self._changing(fsuuid) as drive:
            drive.volumes[name] = msgspec.structs.replace(drive.volumes[name], **pod)
            drive.uses[name] = m.VolumeUse(staged=f"/staging/{name}", published=(target,))

    def unpublish(self, name: str) -> None:
        """Unmount a volume everywhere."""
        for fsuuid in [fsuuid for fsuuid, drive in self.drives.items() if name in drive.uses]:
            with self._changing(fsuuid) as drive:
                del drive.uses[name]

    @contextlib.asynccontextmanager
    async def running(self, bus: Bus, without: tuple[object, ...] = ()) -> AsyncIterator["PlayedNode"]:
        """Run while the block does; ``without``: endpoints that its version does not have."""
        handlers = {
            Node.INVENTORY_GET: self.inventory,
            Node.VOLUME_PREPARE: self.prepare,
            Node.VOLUME_REMOVE: self.remove,
            Node.VOLUME_COPY: self.copy,
            Node.DRIVE_UPDATE: self.update,
            Node.DRIVE_SEEN: self.seen,
            Node.DRIVE_ADOPT: self.adopt,
            Node.DEVICE_LIST: self.list_devices,
            Node.DEVICE_FORMAT: self.format,
            Node.DRIVE_RELEASE: self.release,
            Node.DRIVE_REPAIR: self.repair,
            Node.DRIVE_REPAIR_STATUS: self.repair_status,
            Node.DRIVE_LOCATE: self.locate,
        }
        handlers = {endpoint: handler for endpoint, handler in handlers.items() if endpoint not in without}
        async with serve(
            bus, name="directpv-nodeagent", description="played", handlers=handlers, queue=self.boot, node=self.name
        ):
            called = await bus.subscribe(bus.subjects.roll_call, lambda _: self._called.set())
            beating = asyncio.create_task(self._beat(bus))
            try:
                yield self
            finally:
                await called()
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, bus: Bus) -> None:
        while True:
            self._called.clear()
            if not self.silent:
                await bus.publish(bus.subjects.state(self.name), self.state)
            with contextlib.suppress(TimeoutError):
                # not wait_for, which on Python 3.11 goes on if it is cancelled in the moment of a call
                async with asyncio.timeout(self.beat_seconds):
                    await self._called.wait()

    def _obey(self, fence: m.Fence) -> None:
        if fence.epoch < self.epochs.get(fence.registry, 0):
            raise Fenced(f"epoch {fence.epoch} is over")
        self.epochs[fence.registry] = fence.epoch

    @contextlib.contextmanager
    def _changing(self, fsuuid: str) -> Iterator[PlayedDrive]:
        drive = self.drives.get(fsuuid)
        if drive is None:
            raise NotFound(f"drive {fsuuid} is not here")
        yield drive
        drive.generation += 1

    async def inventory(self, request: m.GetInventory) -> m.Inventory:
        asked = request.drives or tuple(self.drives)
        for told in [self.slow[fsuuid] for fsuuid in asked if fsuuid in self.slow]:
            await told.wait()
        if any(fsuuid in self.mute for fsuuid in asked):
            raise Internal("the inventory cannot be told")
        held = tuple(self.drives[fsuuid].held() for fsuuid in asked if fsuuid in self.drives)
        if self.page and held:
            return await self._part(request, held)
        return m.Inventory(info=self.info, boot=self.boot, drives=held)

    async def _part(self, request: m.GetInventory, held: tuple[m.HeldDrive, ...]) -> m.Inventory:
        """As many drives as have so many volumes together; the last one may be told in part."""
        assert request.paged
        wanted, told, room = list(held), list[m.HeldDrive](), self.page
        while wanted and room > 0 and not (told and told[-1].more):
            each, after = wanted.pop(0), "" if told else request.after
            if after and self.next_part is not None:
                await self.next_part.wait()
            if after and self.unavailable_parts:
                self.unavailable_parts -= 1
                raise Unavailable("cut short")
            volumes = sorted(each.volumes, key=lambda found: found.record.name)
            rest = [found for found in volumes if found.record.name > after]
            part, room = tuple(rest[:room]), room - len(rest)
            more = part[-1].record.name if len(part) < len(rest) else ""
            told.append(msgspec.structs.replace(each, volumes=part, more=more))
        left = tuple(drive.record.fsuuid for drive in wanted)
        return m.Inventory(info=self.info, boot=self.boot, drives=tuple(told), left=left)

    async def prepare(self, request: m.PrepareVolumes) -> m.Prepared:
        self._obey(request.fence)
        if self.failing:
            self.failing -= 1
            raise DriveFault("the drive does not answer")
        failed = {}
        for record in request.records:
            try:
                with self._changing(record.fsuuid) as drive:
                    known = drive.volumes.get(record.name, record)
                    drive.volumes[record.name] = msgspec.structs.replace(record, **pod_of(known))
                    self.prepared.append(record.name)
            except NotFound as error:
                failed[record.name] = error.message
        return m.Prepared(failed=failed)

    async def remove(self, request: m.RemoveVolume) -> m.VolumeRemoved:
        self._obey(request.fence)
        if self.mounted:
            raise Unavailable(f"drive {request.fsuuid} is not here", **{MOUNTED: self.mounted})
        with self._changing(request.fsuuid) as drive:
            if request.move:
                self._check_moved(request, drive)
            if drive.uses.get(request.name, m.VolumeUse()).staged:
                raise FailedPrecondition(f"volume {request.name} is staged")
            drive.volumes.pop(request.name, None)
            drive.sealed.pop(request.name, None)
        if self.stuck is not None:
            await self.stuck.wait()
        return m.VolumeRemoved(purged=True)

    async def seen(self, request: m.ListSeenDrives) -> m.SeenDrives:
        drives = {**self.drives, **self.foreign}
        return m.SeenDrives(
            node=self.name,
            drives=tuple(
                m.SeenDrive(
                    fsuuid=fsuuid,
                    device=drive.record.device,
                    node=drive.record.node,
                    count=len(drive.volumes),
                    volumes=tuple(drive.volumes.values()) if request.fsuuid else (),
                )
                for fsuuid, drive in drives.items()
                if request.fsuuid in ("", fsuuid)
            ),
        )

    async def adopt(self, request: m.AdoptDrive) -> m.DriveRecord:
        self._obey(request.fence)
        drive = self.foreign.pop(request.fsuuid, None)
        if drive is not None:
            drive.record = msgspec.structs.replace(drive.record, node=self.name, topology=self.info.topology)
            self.drives[request.fsuuid] = drive
        return self.drives[request.fsuuid].record

    def _check_moved(self, request: m.RemoveVolume, drive: PlayedDrive) -> None:
        if request.name in drive.volumes and drive.sealed.get(request.name) != (request.move, request.moved_to):
            raise FailedPrecondition(f"{request.name} was not moved away by {request.move}")
        if request.name not in self.drives[request.moved_to].volumes:
            raise FailedPrecondition(f"{request.name} is not on drive {request.moved_to}")

    async def copy(self, order: m.CopyVolume) -> m.CopyStatus:
        """Copy at once, seal after some looks, and let nobody but the same move unseal."""
        self._obey(order.fence)
        name = order.record.name
        with self._changing(order.record.fsuuid) as drive:
            if order.cancel:
                self.copies.pop(order.id, None)
                if drive.sealed.get(name, ("", ""))[0] == order.id:
                    del drive.sealed[name]
                return m.CopyStatus(state=m.MoveState.NONE)
            if name not in drive.volumes:
                raise FailedPrecondition(f"{name} is not on drive {order.record.fsuuid}")
            if self.fails:
                return m.CopyStatus(state=m.MoveState.FAILED, message=self.fails)
            self.copies[order.id] = self.copies.get(order.id, 0) + 1
            if self.copies[order.id] <= self.looks:
                return m.CopyStatus(state=m.MoveState.COPYING, passes=1, done=1, total=2, rate=1)
            drive.sealed[name] = order.id, order.target
            return m.CopyStatus(state=m.MoveState.COPIED)

    async def update(self, request: m.UpdateDrive) -> m.Done:
        self._obey(request.fence)
        with self._changing(request.record.fsuuid) as drive:
            drive.record = request.record
        return m.Done()

    async def release(self, request: m.ReleaseDrive) -> m.DriveReleased:
        self._obey(request.fence)
        self.releases.append(request)
        if self.used:
            raise FailedPrecondition(self.used)
        if self.at_work:
            self.at_work -= 1
            return m.DriveReleased(released=False, message="wiping it: 7 %")
        held = self.drives.get(request.fsuuid)
        if held is not None and held.volumes and not request.lost:
            raise FailedPrecondition(f"volumes on it ({', '.join(held.volumes)})")
        there = self.drives.pop(request.fsuuid, None) is not None or request.fsuuid in self.noted
        if there and not self.unwritable:
            self.noted.add(request.fsuuid)
        return m.DriveReleased(released=True, noted=request.fsuuid in self.noted, message="the device is free")

    async def list_devices(self, request: m.Empty) -> m.DeviceList:
        return m.DeviceList(node=self.name, devices=tuple(self.devices.values()))

    async def format(self, request: m.FormatDevices) -> m.FormatResults:
        self._obey(request.fence)
        self.formats.append(request)
        results = []
        for device in request.devices:
            if self.devices[device.name].fsuuid in request.registered:
                results.append(m.FormatResult(name=device.name, error="holds a registered drive"))
            else:
                fsuuid = self.add_drive(device=device.name)
                results.append(m.FormatResult(name=device.name, drive=self.drives[fsuuid].record))
        return m.FormatResults(node=self.name, results=tuple(results))

    async def repair(self, request: m.OrderRepair) -> m.RepairStatus:
        self._obey(request.fence)
        self.repairs.append(request)
        with self._changing(request.fsuuid) as drive:
            drive.record = msgspec.structs.replace(drive.record, status=m.DriveStatus.REPAIRING)
        return await self.repair_status(m.DriveId(fsuuid=request.fsuuid))

    async def repair_status(self, request: m.DriveId) -> m.RepairStatus:
        last = next((order for order in reversed(self.repairs) if order.fsuuid == request.fsuuid), None)
        if last is None:
            raise NotFound(f"no repair of drive {request.fsuuid}")
        running = self.drives[request.fsuuid].record.status is m.DriveStatus.REPAIRING
        outcome = m.RepairOutcome.RUNNING if running else m.RepairOutcome.REPAIRED
        return m.RepairStatus(fsuuid=request.fsuuid, id=last.id, outcome=outcome)

    async def locate(self, request: m.LocateDrive) -> m.BayLight:
        lit = self.lit.get(request.fsuuid, False) if request.on is None else request.on
        self.lit[request.fsuuid] = lit
        device = self.drives[request.fsuuid].record.device
        return m.BayLight(fsuuid=request.fsuuid, node=self.name, device=device, bay="Slot 03", on=lit, serial="S64")

    def end_repair(self, fsuuid: str) -> None:
        with self._changing(fsuuid) as drive:
            drive.record = msgspec.structs.replace(drive.record, status=m.DriveStatus.READY)
