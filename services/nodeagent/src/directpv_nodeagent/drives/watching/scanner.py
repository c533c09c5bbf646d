"""Brings the agent back to the facts: scans devices and mounts, and looks at each drive, known or not."""

import asyncio
import contextlib
import functools
import logging
import math
from typing import Final, NamedTuple

from directpv_common.calls.context import detached
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError, DriveFault, FailedPrecondition
from directpv_common.protocol.messages import ConditionType, DriveRecord, DriveStatus
from directpv_nodeagent.devices.core.changes import changes, present
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.signatures import read_backups
from directpv_nodeagent.devices.udev_monitor import settled
from directpv_nodeagent.drives.core.growth import check_fits
from directpv_nodeagent.drives.core.standing import candidates, fullness, is_mounted
from directpv_nodeagent.drives.core.states import Observation
from directpv_nodeagent.drives.filesystem.checkup import Checkup
from directpv_nodeagent.drives.taken import copies, remembered
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.failures import TakeOverFailed
from directpv_nodeagent.drives.taken.inspection import NotOurs
from directpv_nodeagent.drives.watching.growth import Growth
from directpv_nodeagent.drives.watching.left_behind import LeftBehind
from directpv_nodeagent.drives.watching.missing import MissingMounts
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import flags_of_kubelets, use_of, use_with
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable
from directpv_nodeagent.linux.core.own_faults import is_own
from directpv_nodeagent.linux.executor_job import Queued
from directpv_nodeagent.linux.mounts import own_mounts

log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 15.0
LATEST_LOOK_SECONDS: Final = 300.0
"""How long a look may take at a disk that answers others meanwhile: it is slow then, which its counters tell."""
SCAN_SECONDS: Final = 10.0
"""How long the first scan waits for its slowest drive."""
PATIENCE_SECONDS: Final = 1.0
"""How long any other does: a drive that hangs must not keep the agent from seeing what becomes of others."""
DEBOUNCE_SECONDS: Final = 0.1
"""Events of one device come in bursts; a scan looks at all of them. So long at most, and between scans at least."""
SETTLE_SECONDS: Final = 120.0
"""How long a slow disk is waited for after a repair."""
PENDING_SECONDS: Final = 3.0
"""How soon a device that was still being read is looked at again."""
_SHUT_DOWN: Final = "its file system was shut down after an I/O error"
_HANDS_OFF: Final = frozenset({DriveStatus.REPAIRING, DriveStatus.REMOVED})
"""Somebody else works on the drive."""


class _Seen(NamedTuple):
    """The mount table, and how far each drive's changes were before it was read."""

    table: MountTable
    changes: dict[str, int]


class Scanner:
    """Looks for drives: at the start, after each hint, and from time to time whatever happens."""

    def __init__(self, drives: Drives, growth: Growth) -> None:
        self._drives = drives
        self._growth = growth
        self._checkup = Checkup()
        self._missing = MissingMounts(drives)
        self._left_behind = LeftBehind(drives)
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._pending: set[str] = set()
        """Devices that were still being read when the last scan ended."""
        self._wake = asyncio.Event()
        self._scanning = asyncio.Lock()
        self._devices: dict[str, DeviceFacts] | None = None
        """What the last scan found; None before the first, which tells of nothing: all was there before."""

    def trigger(self, _device: str | None = None) -> None:
        """Scan soon: something may have happened."""
        self._wake.set()

    async def run(self, interval: float) -> None:
        """Scan after each trigger, and every ``interval`` seconds, until cancelled."""
        loop, ended = asyncio.get_running_loop(), -math.inf
        while True:
            with contextlib.suppress(TimeoutError):
                async with timeout(interval):
                    await self._wake.wait()
                    await self._quiet(loop.time() - ended)
            self._wake.clear()
            await self.scan()
            ended = loop.time()

    async def _quiet(self, since: float) -> None:
        """Wait until a burst of events is over; ``since``: seconds since the last scan, for scans have their price."""
        if since < DEBOUNCE_SECONDS:
            await asyncio.sleep(DEBOUNCE_SECONDS)
        else:
            await settled(DEBOUNCE_SECONDS)

    async def settle(self, fsuuid: str) -> None:
        """Scan, and wait until this drive was looked at, however long mounting it takes, and its disk to answer."""
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while True:
            await self.scan()
            look = self._looks.get(fsuuid)
            if look is not None:
                await asyncio.wait([look])
            drive = self._drives.by_id.get(fsuuid)
            if drive is None or drive.view.name not in self._pending or asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(PATIENCE_SECONDS)

    async def scan(self) -> None:
        """Bring memory and mounts in line with the devices; never raises, the next scan tries again."""
        async with self._scanning:
            known = {fsuuid: drive.device for fsuuid, drive in self._drives.by_id.items()}
            self._drives.rescans += 1
            try:
                run = self._drives.executors.run
                # Before devices are read: a drive that is made meanwhile is not looked for on what they showed then.
                disks = await run("devices", lambda: remembered.disks(self._drives.host.root), LOOK_SECONDS, "reading")
                patience = PATIENCE_SECONDS if self._drives.scanned else None
                probe = functools.partial(self._drives.prober.probe, patience)
                found = await run("devices", probe, PROBE_SECONDS, "probing devices")
                known_at = {fsuuid: drive.changes for fsuuid, drive in self._drives.by_id.items()}
                table = await run("devices", own_mounts, LOOK_SECONDS, "reading the mount table")
                self._tell_devices(present(found))
                by_fsuuid = candidates(found, known, disks)
                await self._look_at_all(
                    {fsuuid: by_fsuuid.get(fsuuid, []) for fsuuid in known.keys() | by_fsuuid.keys()},
                    _Seen(table, known_at),
                )
            except (DirectPVError, OSError) as error:
                self._drives.trouble = f"devices cannot be probed: {error}"
                log.error("scan failed", extra={"error": str(error)})
                return
            self._drives.trouble, self._drives.scanned = "", True
            self._pending = {facts.name for facts in found if facts.pending}
            if self._pending:
                asyncio.get_running_loop().call_later(PENDING_SECONDS, self.trigger)
            self._drives.forgive(by_fsuuid)

    def _tell_devices(self, found: dict[str, DeviceFacts]) -> None:
        """Tell of devices that came, went or changed, drives or not."""
        for kind, facts in changes(found if self._devices is None else self._devices, found):
            self._drives.emit(
                "device", kind, facts.name, size=facts.size, make=facts.make, signatures=list(facts.signatures)
            )
        self._devices = found

    async def _look_at_all(self, devices: dict[str, list[DeviceFacts]], seen: _Seen) -> None:
        """Look at each drive, at the same time; one that hangs is waited for a while, and not looked at twice."""
        for fsuuid, facts in devices.items():
            if fsuuid not in self._looks:
                task = asyncio.create_task(
                    self._look(fsuuid, facts, seen), name=f"look at {fsuuid}", context=detached()
                )
                self._looks[fsuuid] = task
                task.add_done_callback(lambda _, fsuuid=fsuuid: self._looks.pop(fsuuid))  # type: ignore[misc]
        if self._looks:
            patience = PATIENCE_SECONDS if self._drives.scanned else SCAN_SECONDS
            await asyncio.wait(self._looks.values(), timeout=patience)

    async def _look(self, fsuuid: str, devices: list[DeviceFacts], seen: _Seen) -> None:
        """Look at one drive, known or not; a failure of it is noted, and is no other drive's."""
        drive = self._drives.by_id.get(fsuuid)
        try:
            if drive is not None and drive.record.status in _HANDS_OFF:
                return
            mounted = _mounted(fsuuid, devices)
            mine = [mounted] if mounted else await self._without_copies(fsuuid, devices)
            if len(mine) == 1:
                await self._look_at(fsuuid, mine[0], drive, seen)
                await self._warn_of_copies(fsuuid, mine[0], devices)
            elif mine:
                names = ", ".join(sorted(facts.name for facts in mine))
                message = f"devices {names} carry the same file system; remove all but one, or use multipath"
                drive = drive or await self._as_it_was(fsuuid, mine[0])
                self._drives.observe(fsuuid, drive, Observation.DUPLICATE, message)
                self._drives.tell_conflict(fsuuid, drive, names, message)
            else:
                if devices and drive is None:
                    drive = await self._as_it_was(fsuuid, devices[0])
                self._drives.observe(fsuuid, drive, Observation.ABSENT, _nowhere(devices))
        except Exception:
            log.exception("looking at a drive failed", extra={"drive": fsuuid})

    async def _without_copies(self, fsuuid: str, devices: list[DeviceFacts]) -> list[DeviceFacts]:
        if not devices:
            return []
        look = functools.partial(copies.without, self._drives.host.root, fsuuid, devices)
        return await self._drives.executors.run("devices", look, LOOK_SECONDS, "reading what carries copies")

    async def _warn_of_copies(self, fsuuid: str, mounted: DeviceFacts, devices: list[DeviceFacts]) -> None:
        """Note what else carries the file system of a drive: that is wrong with the other device, not with it."""
        others = [facts for facts in devices if facts is not mounted]
        if others and is_mounted(mounted, fsuuid):
            keep = functools.partial(copies.note, self._drives.host.root, fsuuid, mounted, others)
            await self._drives.executors.run("devices", keep, LOOK_SECONDS, "noting what carries copies")
        names = ", ".join(sorted(facts.name for facts in others))
        cause = f"{names} carries a copy of the file system that is mounted from {mounted.name}" if names else ""
        if not names and mounted.claimed:
            cause = f"it is mounted from {mounted.name}, which is part of another device: {mounted.not_ready}"
        if drive := self._drives.by_id.get(fsuuid):
            self._drives.warn(drive, ConditionType.DUPLICATE, cause)

    async def _look_at(self, fsuuid: str, facts: DeviceFacts, drive: Drive | None, seen: _Seen) -> None:
        if self._drives.busy_devices[facts.name] or facts.pending:
            return
        if drive is None and (facts.unreadable or facts.superblock is None):
            drive = await self._recalled(fsuuid, facts)
            if drive is None and not facts.unreadable:
                return
        if facts.unreadable:
            self._drives.observe(fsuuid, drive, Observation.IO_ERROR, facts.unreadable)
            return
        if facts.superblock is None:
            cause = f"the super block of {facts.name} is damaged"
            self._drives.observe(fsuuid, drive, Observation.MOUNT_FAILED, cause)
            return
        if drive is not None and drive.readable and drive.view.device == facts.major_minor:
            if await self._still_well(drive, facts, seen):
                if drive.record.status is DriveStatus.READY:
                    await self._drives.renewal.go_on(drive.view)
                    await self._left_behind.look(drive)
                return
        elif drive is None and self._drives.is_refused(fsuuid, facts):
            return
        async with self._drives.device(facts.name):
            await self._take_over(fsuuid, facts)

    async def _recalled(self, fsuuid: str, facts: DeviceFacts) -> Drive | None:
        """Return a drive whose disk cannot say any more what it is, as it was when last seen here; None: never was."""
        record = await self._remembered(fsuuid)
        if record is None or not (facts.unreadable or await self._has_backups(record, facts)):
            return None
        return self._drives.add_unusable(facts, record)

    async def _as_it_was(self, fsuuid: str, facts: DeviceFacts) -> Drive | None:
        """Return a drive of which nobody knows which device it is, as it was when last seen here; None: never was."""
        record = await self._remembered(fsuuid)
        return None if record is None else self._drives.add_unusable(facts, record)

    async def _remembered(self, fsuuid: str) -> DriveRecord | None:
        recall = functools.partial(remembered.recall, self._drives.host.root, fsuuid)
        return await self._drives.executors.run("devices", recall, LOOK_SECONDS, "reading what was known of it")

    async def _has_backups(self, record: DriveRecord, facts: DeviceFacts) -> bool:
        """Tell whether a disk that shows nothing still has the drive's backup super blocks, or cannot be asked.

        Else it was wiped, or is another one behind the same adapter, which is all that tells its name then.
        """
        prober = self._drives.prober
        look = functools.partial(read_backups, prober.path_of(facts), facts.major_minor, record.total)
        try:
            found = await self._drives.executors.run(facts.name, look, prober.within, "looking for backup super blocks")
        except DriveFault:
            return True
        return any(block.fsuuid == record.fsuuid for block in found)

    async def _still_well(self, drive: Drive, facts: DeviceFacts, seen: _Seen) -> bool:
        """Tell whether a drive that was well still is, and note where its volumes are mounted."""
        view = drive.view
        top = seen.table.at(view.path)
        if top is None or top.device != view.device:
            return False
        try:
            alive, free = await self._drives.executors.run(
                f"looking at {view.fsuuid}",
                lambda: self._checkup.look(view),
                LOOK_SECONDS,
                "looking at it",
                progress=self._drives.progress_of(facts.name),
                at_most=LATEST_LOOK_SECONDS,
            )
        except (DirectPVError, OSError) as error:
            if is_own(error) or isinstance(error, Queued):
                log.error("drive cannot be looked at", extra={"drive": view.fsuuid, "error": str(error)})
            else:
                self._drives.observe(view.fsuuid, drive, Observation.IO_ERROR, str(error))
            return True
        if not alive:
            self._drives.observe(view.fsuuid, drive, Observation.IO_ERROR, _SHUT_DOWN)
            return False
        self._refresh(drive, facts, seen)
        if top.read_only or "ro" in top.super_options.split(","):
            self._drives.observe(view.fsuuid, drive, Observation.READ_ONLY, f"{facts.name} is mounted read-only")
            return True
        try:
            check_fits(facts.name, drive.record.total, facts.size)
        except FailedPrecondition as error:
            self._drives.observe(view.fsuuid, drive, Observation.MOUNT_FAILED, error.message)
            return True
        self._drives.observe(view.fsuuid, drive, Observation.PRESENT_MOUNTED, "")
        owed = 0 if drive.copies else drive.free  # a move that goes on after a restart has its space by no account yet
        self._drives.warn(drive, ConditionType.FULL, fullness(free, owed, drive.record.total))
        if self._growth.is_due(drive, facts):
            async with self._drives.device(facts.name):
                await self._growth.look(drive, facts)
        return True

    def _refresh(self, drive: Drive, facts: DeviceFacts, seen: _Seen) -> None:
        """Note the device's name, and mounts that were made or taken away without us."""
        if drive.view.name != facts.name:
            drive.view = DriveView(
                drive.view.root, drive.fsuuid, drive.view.device, facts.name, enforced=drive.view.enforced
            )
        news = drive.change(device=facts.name, make=facts.make or drive.record.make)
        if seen.changes.get(drive.fsuuid) == drive.changes:  # else the table is older than what is known
            news = _note_uses(drive, seen.table) or news
            self._missing.look(drive, seen.table)
        if news:
            self._drives.on_change()

    async def _take_over(self, fsuuid: str, facts: DeviceFacts) -> None:
        """Mount and read a drive; note what comes of it. The device's lock is held."""
        known = self._drives.by_id.get(fsuuid)
        try:
            await self._growth.look(await self._drives.adopt(fsuuid, facts), facts)
        except NotOurs as error:
            self._drives.refuse(fsuuid, facts, error)
        except TakeOverFailed as error:
            if is_own(error):
                log.error("drive cannot be taken over now", extra={"drive": fsuuid, "error": str(error)})
                return
            if known is None and error.record is not None:
                known = self._drives.add_unusable(facts, error.record)
            self._drives.observe(fsuuid, known, error.observation, str(error), error.advice)
        except (DirectPVError, OSError) as error:
            if is_own(error):
                log.error("drive cannot be taken over now", extra={"drive": fsuuid, "error": str(error)})
            else:
                self._drives.observe(fsuuid, known, Observation.MOUNT_FAILED, str(error))


def _nowhere(copied: list[DeviceFacts]) -> str:
    """Return in words that a drive is away, though devices may carry copies of it."""
    if not copied:
        return "no device carries its file system"
    names = ", ".join(sorted(facts.name for facts in copied))
    return (
        f"no device carries its file system but {names}, which was a copy beside it and lacks what was written since; "
        "if that is to be the drive from now on, unplug it and plug it in again"
    )


def _mounted(fsuuid: str, devices: list[DeviceFacts]) -> DeviceFacts | None:
    """Return the one of several devices with one file system that is mounted as the drive; None before one is."""
    return next((facts for facts in devices if is_mounted(facts, fsuuid)), None)


def _note_uses(drive: Drive, table: MountTable) -> bool:
    """Note where volumes are mounted; tell whether that is news. Mounts that are missing are somebody else's affair."""
    news = False
    mounted: dict[str, list[Mount]] = {}
    for mount in table.of(drive.view.device):
        mounted.setdefault(mount.root.lstrip("/"), []).append(mount)
    for name in drive.volumes.keys() & mounted.keys():
        drive.flags |= flags_of_kubelets(mounted[name])
        known = drive.use(name)
        if {mount.path for mount in mounted[name]} <= {known.staged, *known.published}:
            continue  # which mounts are others' twins is the dearest question of a scan
        paths = {mount.path for mount in table.firsts(mounted[name])}
        if not paths <= {known.staged, *known.published}:
            found = use_of(table, drive.view.place(name), drive.staging_paths.get(name, ""))
            missing = {known.staged, *known.published} - paths - {""}
            for path in missing:
                found = use_with(found, path)
            news = drive.set_use(name, found) or news
    return news
