"""The drive manager: which drives this node has, mounted and in memory, brought back to the facts by every scan."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from directpv_common.clock import now_rfc3339
from directpv_common.errors import DirectPVError, NotFound
from directpv_common.messages import Condition, DriveStatus
from directpv_nodeagent.adapters import xfs
from directpv_nodeagent.adapters.executor import DriveExecutors
from directpv_nodeagent.adapters.mounts import own_mounts
from directpv_nodeagent.adapters.probe import Prober
from directpv_nodeagent.adapters.takeover import Host, NotOurs, TakeOverFailed, take_over
from directpv_nodeagent.core.drive_states import Observation, Step, step
from directpv_nodeagent.core.drives import candidates
from directpv_nodeagent.core.facts import DeviceFacts
from directpv_nodeagent.core.held import Contents, Drive, DriveView
from directpv_nodeagent.core.mountinfo import MountTable
from directpv_nodeagent.core.volumes import use_of

log = logging.getLogger(__name__)

Emit = Callable[..., None]
"""``emit(noun, kind, subject, **data)``: tells of an event, at once and without failing."""

PROBE_SECONDS: Final = 60.0
TAKE_OVER_SECONDS: Final = 300.0
"""Log recovery and quotacheck of a large drive take minutes."""
LOOK_SECONDS: Final = 15.0
SCAN_SECONDS: Final = 10.0
"""How long a scan waits for its slowest drive; the others must not."""
DEBOUNCE_SECONDS: Final = 0.1
"""Events of one device come in bursts; a scan looks at all of them."""
_HEALTHY_AGAIN: Final = frozenset({"found", "recovered"})
_HANDS_OFF: Final = frozenset({DriveStatus.REPAIRING, DriveStatus.REMOVED})
"""Somebody else works on the drive."""


class Drives:
    """All drives of this node."""

    def __init__(self, host: Host, prober: Prober, executors: DriveExecutors, emit: Emit) -> None:
        self.host = host
        self.prober = prober
        self.executors = executors
        self.emit = emit
        self.by_id: dict[str, Drive] = {}
        self.rescans = 0
        self.scanned = False
        """Whether the first scan has ended: before, nothing can be concluded from what is missing."""
        self.trouble = ""
        """Why the last scan failed; empty if it did not."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after anything changed that the controller has to know."""
        self.on_take_over: Callable[[Drive], None] = lambda drive: None
        """Called after a drive was mounted and read."""
        self.busy_devices: Counter[str] = Counter()
        """Devices that are being formatted, by kernel name: a scan leaves them alone."""
        self._device_locks: dict[str, asyncio.Lock] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._scanning = asyncio.Lock()

    # ---- asked by others ----------------------------------------------------------------------------------------

    def holder(self, name: str) -> Drive | None:
        """Return the drive that has the volume, or None."""
        return next((drive for drive in self.by_id.values() if name in drive.volumes), None)

    def get(self, fsuuid: str) -> Drive:
        """Return a drive.

        Raises:
            NotFound: This node has no such drive.
        """
        drive = self.by_id.get(fsuuid)
        if drive is None:
            raise NotFound(f"node {self.host.node} has no drive {fsuuid!r}")
        return drive

    @contextlib.asynccontextmanager
    async def device(self, name: str) -> AsyncIterator[None]:
        """Keep others from mounting or formatting the device while the block runs."""
        lock = self._device_locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    # ---- scanning -----------------------------------------------------------------------------------------------

    def trigger(self, _device: str | None = None) -> None:
        """Scan soon: something may have happened."""
        self._wake.set()

    async def run(self, interval: float) -> None:
        """Scan after each trigger, and every ``interval`` seconds, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._wake.wait()
                    await asyncio.sleep(DEBOUNCE_SECONDS)
            self._wake.clear()
            await self.scan()

    async def scan(self) -> None:
        """Bring memory and mounts in line with the devices; never raises, the next scan tries again."""
        async with self._scanning:
            known = frozenset(self.by_id)
            self.rescans += 1
            try:
                found = await self.executors.run("devices", self.prober.probe, PROBE_SECONDS, "probing devices")
                table = await self.executors.run("devices", own_mounts, LOOK_SECONDS, "reading the mount table")
                by_fsuuid = candidates(found, known)
                await self._look_at_all(
                    {fsuuid: by_fsuuid.get(fsuuid, []) for fsuuid in known | by_fsuuid.keys()}, table
                )
            except (DirectPVError, OSError) as error:
                self.trouble = f"devices cannot be probed: {error}"
                log.error("scan failed", extra={"error": str(error)})
                return
            self.trouble, self.scanned = "", True
            self._refused = {fsuuid: why for fsuuid, why in self._refused.items() if fsuuid in by_fsuuid}

    async def _look_at_all(self, devices: dict[str, list[DeviceFacts]], table: MountTable) -> None:
        """Look at each drive, at the same time; one that hangs is waited for a while, and not looked at twice."""
        for fsuuid, facts in devices.items():
            if fsuuid not in self._looks:
                task = asyncio.create_task(self._look(fsuuid, facts, table), name=f"look at {fsuuid}")
                self._looks[fsuuid] = task
                task.add_done_callback(lambda _, fsuuid=fsuuid: self._looks.pop(fsuuid))  # type: ignore[misc]
        if self._looks:
            await asyncio.wait(self._looks.values(), timeout=SCAN_SECONDS)

    async def _look(self, fsuuid: str, devices: list[DeviceFacts], table: MountTable) -> None:
        """Look at one drive, known or not; a failure of it is noted, and is no other drive's."""
        drive = self.by_id.get(fsuuid)
        try:
            if drive is not None and drive.record.status in _HANDS_OFF:
                return
            if len(devices) == 1:
                await self._look_at(fsuuid, devices[0], drive, table)
            elif devices:
                names = ", ".join(sorted(facts.name for facts in devices))
                message = f"devices {names} carry the same file system; remove all but one, or use multipath"
                self._observe(fsuuid, drive, Observation.DUPLICATE, message)
                self._tell_conflict(fsuuid, drive, names, message)
            else:
                self._observe(fsuuid, drive, Observation.ABSENT, "no device carries its file system")
        except Exception:
            log.exception("looking at a drive failed", extra={"drive": fsuuid})

    async def _look_at(self, fsuuid: str, facts: DeviceFacts, drive: Drive | None, table: MountTable) -> None:
        if self.busy_devices[facts.name]:
            return
        if drive is not None and drive.readable and drive.view.device == facts.major_minor:
            if await self._still_well(drive, facts, table):
                return
        elif drive is None and self._refused.get(fsuuid, ("",))[0] == _identity(facts):
            return
        async with self.device(facts.name):
            await self._take_over(fsuuid, facts)

    async def _still_well(self, drive: Drive, facts: DeviceFacts, table: MountTable) -> bool:
        """Tell whether a drive that was well still is, and note where its volumes are mounted."""
        view = drive.view
        top = table.at(view.path)
        if top is None or top.device != view.device:
            return False
        try:
            alive = await self.executors.run(
                view.fsuuid, lambda: xfs.is_alive(view.path, view.device), LOOK_SECONDS, "looking at it"
            )
        except (DirectPVError, OSError) as error:
            self._observe(view.fsuuid, drive, Observation.IO_ERROR, str(error))
            return True
        if not alive:
            self._observe(view.fsuuid, drive, Observation.IO_ERROR, "its file system was shut down after an I/O error")
            return False
        self._refresh(drive, facts, table)
        self._observe(view.fsuuid, drive, Observation.PRESENT_MOUNTED, "")
        return True

    def _refresh(self, drive: Drive, facts: DeviceFacts, table: MountTable) -> None:
        """Note the device's name, and mounts that were made or taken away without us."""
        if drive.view.name != facts.name:
            drive.view = DriveView(
                drive.view.root, drive.fsuuid, drive.view.device, facts.name, enforced=drive.view.enforced
            )
        news = drive.change(device=facts.name, make=facts.make or drive.record.make)
        mounted = {mount.root.lstrip("/") for mount in table.of(drive.view.device)}
        for name in drive.volumes:
            if name in mounted or drive.use(name).staged or drive.use(name).published:
                use = use_of(table, drive.view.place(name), drive.staging_paths.get(name, ""))
                news = drive.set_use(name, use) or news
        if news:
            self.on_change()

    # ---- taking over --------------------------------------------------------------------------------------------

    async def _take_over(self, fsuuid: str, facts: DeviceFacts) -> None:
        """Mount and read a drive; note what comes of it. The device's lock is held."""
        known = self.by_id.get(fsuuid)
        try:
            await self.adopt(fsuuid, facts)
        except NotOurs as error:
            self._refuse(fsuuid, facts, error)
        except TakeOverFailed as error:
            if known is None and error.record is not None:
                known = self._unusable(facts, error)
            self._observe(fsuuid, known, error.observation, str(error))
        except (DirectPVError, OSError) as error:
            self._observe(fsuuid, known, Observation.MOUNT_FAILED, str(error))

    async def adopt(self, fsuuid: str, facts: DeviceFacts) -> Drive:
        """Mount the drive on the device ``facts``, read it, and serve it from now on.

        Raises:
            NotOurs: It is no drive of this node.
            TakeOverFailed: It cannot be used.
            DriveFault: The device does not answer.
        """
        known = self.by_id.get(fsuuid)
        staging = dict(known.staging_paths) if known else {}
        contents = await self.executors.run(
            fsuuid, lambda: take_over(self.host, fsuuid, facts, staging), TAKE_OVER_SECONDS, "mounting it"
        )
        self._refused.pop(fsuuid, None)
        drive = self._accept(fsuuid, contents)
        self.on_take_over(drive)
        return drive

    def _accept(self, fsuuid: str, contents: Contents) -> Drive:
        """Take in what was found on a drive."""
        drive = self.by_id.get(fsuuid)
        if drive is None:
            drive = self.by_id[fsuuid] = Drive(contents)
            log.info("drive found", extra={"drive": fsuuid, "device": contents.view.name})
            self.emit("drive", "added", fsuuid, device=contents.view.name, volumes=len(contents.volumes))
        else:
            status, conditions = drive.record.status, drive.record.conditions
            drive.take(contents)
            drive.change(status=status, conditions=conditions)
        self._observe(fsuuid, drive, Observation.PRESENT_MOUNTED, "")
        self.on_change()
        return drive

    def _unusable(self, facts: DeviceFacts, error: TakeOverFailed) -> Drive:
        """Take in a drive that is ours but could not be mounted, so that people see it and why."""
        record = error.record
        assert record is not None
        view = DriveView(self.host.root, record.fsuuid, facts.major_minor, facts.name, enforced=False)
        drive = self.by_id[record.fsuuid] = Drive(Contents(view, record, {}, {}, {}, {}))
        drive.readable = False
        return drive

    def _refuse(self, fsuuid: str, facts: DeviceFacts, error: NotOurs) -> None:
        """Leave a device alone until it changes."""
        self._refused[fsuuid] = (_identity(facts), str(error))
        if self.by_id.pop(fsuuid, None) is not None:
            self.emit("drive", "removed", fsuuid, device=facts.name, cause=str(error))
            self.on_change()
        log.warning("not a drive of this node", extra={"device": facts.name, "drive": fsuuid, "error": str(error)})
        if error.foreign:
            self.emit("drive", "conflict", fsuuid, device=facts.name, cause=str(error))

    def _tell_conflict(self, fsuuid: str, drive: Drive | None, names: str, cause: str) -> None:
        """Tell once of copies of a drive that is not served; of one that is, its state tells."""
        if drive is None and self._refused.get(fsuuid) != (names, cause):
            self._refused[fsuuid] = (names, cause)
            self.emit("drive", "conflict", fsuuid, device=names, cause=cause)

    # ---- states -------------------------------------------------------------------------------------------------

    def fault(self, drive: Drive, cause: str) -> None:
        """Note that work on a drive failed with an I/O error; the scan that follows looks closer."""
        self._observe(drive.fsuuid, drive, Observation.IO_ERROR, cause)
        self.trigger()

    def _observe(self, fsuuid: str, drive: Drive | None, observation: Observation, message: str) -> None:
        """Note what was seen of a drive."""
        if drive is None:
            log.warning("drive cannot be used", extra={"drive": fsuuid, "seen": str(observation), "error": message})
            return
        outcome = step(drive.record.status, observation)
        news = drive.set_state(
            outcome.status, _conditions(drive, outcome, message), readable=_readable(drive, observation)
        )
        if observation is Observation.ABSENT:
            news = drive.change(device="") or news
        if outcome.event is not None:
            kind = "ready" if outcome.event in _HEALTHY_AGAIN else outcome.event
            log.info("drive changed", extra={"drive": fsuuid, "kind": kind, "cause": message})
            self.emit("drive", kind, fsuuid, device=drive.record.device, status=str(outcome.status), cause=message)
        if news:
            self.on_change()


def _conditions(drive: Drive, outcome: Step, message: str) -> tuple[Condition, ...]:
    if outcome.condition is not None:
        return (Condition(type=outcome.condition, message=message, since=now_rfc3339()),)
    return drive.record.conditions if outcome.status is DriveStatus.ERROR else ()


def _readable(drive: Drive, observation: Observation) -> bool:
    if observation is Observation.DUPLICATE:
        return drive.readable
    return observation is Observation.PRESENT_MOUNTED


def _identity(facts: DeviceFacts) -> str:
    """Return what must change before a device that was refused is looked at again."""
    return f"{facts.name} {facts.major_minor} {facts.superblock}"
