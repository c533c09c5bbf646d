"""Which drives this node has, as its agent knows them: taken over, refused, well or broken."""

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import NotFound
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveRecord,
    DriveStatus,
    VolumeRecord,
    VolumeUse,
)
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import requests_done
from directpv_nodeagent.drives.core.advice import advice_for, reason_for
from directpv_nodeagent.drives.core.identity import chosen, contested, doubt, mounted_at
from directpv_nodeagent.drives.core.states import Observation, Step, step
from directpv_nodeagent.drives.taken.failures import StillMounted
from directpv_nodeagent.drives.taken.inspection import Host, NotOurs
from directpv_nodeagent.drives.taken.renewal import Renewal
from directpv_nodeagent.drives.taken.takeover import take_over
from directpv_nodeagent.layout.contents import uses_in
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.linux.executor import DriveExecutors
from directpv_nodeagent.linux.mounts import own_mounts

log = logging.getLogger(__name__)

T = TypeVar("T")
Emit = Callable[..., None]
"""``emit(noun, kind, subject, **data)``: tells of an event, at once and without failing."""

TAKE_OVER_SECONDS: Final = 300.0
"""Without any request done by the device."""
LONGEST_SECONDS: Final = 24 * 3600.0
"""Log recovery takes minutes; quotacheck reads each inode, of which a drive may have 10⁹."""
TABLE_SECONDS: Final = 20.0
RETIRED_ADVICE: Final = (
    "pull the disk; or bring it back with its volumes: kubectl directpv recover {drive}; or run discover and init with "
    "--dangerous to make a new drive of it; volumes that are still on it must be wiped by hand first"
)
FOREIGN_ADVICE: Final = (
    "if its disk was moved here from another server or cluster, see what it has: kubectl directpv recover {node} "
    "--dry-run; else take it out"
)
_HEALTHY_AGAIN: Final = frozenset({"found", "recovered"})


class Drives:
    """All drives of this node."""

    def __init__(self, host: Host, prober: Prober, executors: DriveExecutors, renewal: Renewal, emit: Emit) -> None:
        self.host = host
        self.prober = prober
        self.executors = executors
        self.renewal = renewal
        self.emit = emit
        self.by_id: dict[str, Drive] = {}
        self.rescans = 0
        self.scanned = False
        """Whether the first scan has ended: before, nothing can be concluded from what is missing."""
        self.trouble = ""
        """Why the last scan failed; empty if it did not."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after anything changed that the controller has to know."""
        self.on_doubt: Callable[[], None] = lambda: None
        """Called when something is wrong with a drive, and nobody knows yet what."""
        self.on_take_over: Callable[[Drive], None] = lambda drive: None
        """Called after a drive was mounted and read, and when it is well again without that."""
        self.on_unstaged: Callable[[str], None] = lambda name: None
        """Called after a volume was unstaged, before anybody else can have its turn."""
        self.busy_devices: Counter[str] = Counter()
        """Devices that are being formatted, by kernel name: a scan leaves them alone."""
        self._device_locks: dict[str, asyncio.Lock] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self.retired: dict[str, str] = {}
        """Drives that were given up and are still here, with words for people."""
        self._unknown: dict[str, str] = {}

    # ---- asked by others ----------------------------------------------------------------------------------------

    def holders(self, name: str) -> list[Drive]:
        """Return all drives that have a volume of that name, copies too."""
        return [drive for drive in self.by_id.values() if name in drive.volumes]

    def holder(self, name: str, hint: str = "", incarnation: str = "") -> Drive | None:
        """Return the drive that has the volume, or None; :mod:`.core.identity` says how it is told from a copy.

        Args:
            name: The volume.
            hint: The drive that its context names.
            incarnation: The one that its context names.

        Raises:
            FailedPrecondition: There are only copies, or nobody knows which one is the volume.
            Unavailable: Nobody knows it yet.
        """
        return chosen(name, self.holders(name), hint, incarnation, complete=self.scanned)

    def holder_at(self, name: str, path: str) -> Drive | None:
        """Return the drive of which a volume of that name is mounted at ``path``, or the one that has the volume.

        Raises:
            FailedPrecondition, Unavailable: As :meth:`holder`.
        """
        return mounted_at(name, self.holders(name), path) or self.holder(name)

    def contested(self, drive: Drive) -> frozenset[str]:
        """Return the volumes of ``drive`` of which it is not known whether they are the volume or a copy."""
        return contested(drive, tuple(self.by_id.values()))

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

    # ---- taking over --------------------------------------------------------------------------------------------

    async def adopt(self, fsuuid: str, facts: DeviceFacts) -> Drive:
        """Mount the drive on the device ``facts``, read it, and serve it from now on.

        Raises:
            NotOurs: It is no drive of this node.
            TakeOverFailed: It cannot be used.
            DriveFault: The device does not answer.
        """
        while True:
            known = self.by_id.get(fsuuid)
            changes, staging = (known.changes, dict(known.staging_paths)) if known else (0, {})
            contents = await self._renewed(await self._taken(fsuuid, facts, staging), staging)
            if known is None or known.changes == changes:
                break
            # An operation that had begun before ended after the drive was read: read it again.
        self._refused.pop(fsuuid, None)
        self.retired.pop(fsuuid, None)
        self._unknown.pop(fsuuid, None)
        drive = self._accept(fsuuid, contents)
        self.on_take_over(drive)
        return drive

    async def _taken(self, fsuuid: str, facts: DeviceFacts, staging: dict[str, str]) -> Contents:
        """Take the drive over; if its own failed file system is in the way, places that show it are covered first."""
        work = functools.partial(take_over, self.host, fsuuid, facts, staging)
        try:
            return await self.mounting(fsuuid, facts, work, "mounting it")
        except StillMounted:
            await self.renewal.release(self.host.root, fsuuid, facts.major_minor)
        return await self.mounting(fsuuid, facts, work, "mounting it")

    async def mounting(self, fsuuid: str, facts: DeviceFacts, work: Callable[[], T], what: str) -> T:
        """Call blocking ``work``, which mounts or unmounts a drive, for as long as its device gets anything done.

        Raises:
            DriveFault: The device did nothing for TAKE_OVER_SECONDS.
        """
        return await self.executors.run(
            fsuuid, work, TAKE_OVER_SECONDS, what, progress=self.progress_of(facts.name), at_most=LONGEST_SECONDS
        )

    def progress_of(self, device: str) -> Callable[[], object]:
        """Return what tells how many requests a device (kernel name) has done; it never raises."""

        def done() -> tuple[int, ...]:
            with contextlib.suppress(OSError):
                return requests_done(self.prober.roots, device)
            return ()

        return done

    async def _renewed(self, contents: Contents, staging: dict[str, str]) -> Contents:
        """Give places that show volumes of the drive dead its new mount, before it is said to be well."""
        view, volumes = contents.view, contents.volumes
        if not contents.stale or not await self.renewal.renew(view):
            return contents
        uses = await self.executors.run(
            view.fsuuid,
            lambda: uses_in(own_mounts(view.device, parents=True), view, volumes, staging),
            TABLE_SECONDS,
            "reading the mount table",
        )
        return replace(contents, uses=uses)

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
        self.observe(fsuuid, drive, Observation.PRESENT_MOUNTED, "")
        self._tell_contested(drive)
        self.on_change()
        return drive

    def _tell_contested(self, drive: Drive) -> None:
        """Tell of volumes that another drive has too; the other one's inventory says so from now on."""
        for name in sorted(self.contested(drive)):
            holders = self.holders(name)
            for other in holders:
                other.doubted()
            cause = doubt(name, [each for each in holders if name not in each.strays])
            log.warning("volume is on several drives", extra={"volume": name, "error": cause})
            self.emit("volume", "conflict", name, drives=[each.fsuuid for each in holders], cause=cause)

    def add_unusable(self, facts: DeviceFacts, record: DriveRecord) -> Drive:
        """Take in a drive that is ours but cannot be read or mounted, so that people see it and why."""
        view = DriveView(self.host.root, record.fsuuid, facts.major_minor, facts.name, enforced=False)
        drive = self.by_id[record.fsuuid] = Drive(Contents(view, record, {}, {}, {}, {}))
        drive.readable = False
        drive.change(device=facts.name)  # the record may be what it was when the drive was seen last
        return drive

    def refuse(self, fsuuid: str, facts: DeviceFacts, error: NotOurs) -> None:
        """Leave a device alone until it changes."""
        self._refused[fsuuid] = (_identity(facts), str(error))
        if error.retired:
            self._note_retired(fsuuid, facts, str(error))
        if self.by_id.pop(fsuuid, None) is not None:
            self.emit("drive", "removed", fsuuid, device=facts.name, cause=str(error))
            self.on_change()
        log.warning("not a drive of this node", extra={"device": facts.name, "drive": fsuuid, "error": str(error)})
        if error.foreign:
            advice = FOREIGN_ADVICE.replace("{node}", self.host.node)
            self.emit("drive", "conflict", fsuuid, device=facts.name, cause=str(error), advice=advice)

    def _note_retired(self, fsuuid: str, facts: DeviceFacts, why: str) -> None:
        """Note, and tell once, that a device carries a drive that was given up."""
        if self.retired.get(fsuuid) != why:
            self.retired[fsuuid] = why
            self.emit(
                "drive",
                "retired",
                fsuuid,
                device=facts.name,
                cause=why,
                advice=RETIRED_ADVICE.replace("{drive}", fsuuid),
            )

    def give_up(self, fsuuid: str, facts: DeviceFacts | None, why: str, *, noted: bool) -> None:
        """Have a drive no more, and leave its device alone until it changes.

        Args:
            fsuuid: The drive.
            facts: Its device, as it is now; None: none carries it.
            why: In words.
            noted: Whether the drive itself says so.
        """
        if facts is not None:
            self._refused[fsuuid] = (_identity(facts), why)
            if noted:
                self._note_retired(fsuuid, facts, why)
        if self.by_id.pop(fsuuid, None) is not None:
            log.info("drive given up", extra={"drive": fsuuid, "device": facts.name if facts else "", "noted": noted})
            self.emit("drive", "removed", fsuuid, device=facts.name if facts else "", cause=why)
        self.on_change()

    def look_again(self, fsuuid: str) -> None:
        """Forget that a device was refused: the next scan looks at it."""
        self._refused.pop(fsuuid, None)
        self.retired.pop(fsuuid, None)
        self.on_doubt()

    def is_refused(self, fsuuid: str, facts: DeviceFacts) -> bool:
        """Tell whether the device was refused, and is still what it was then."""
        return self._refused.get(fsuuid, ("",))[0] == _identity(facts)

    def forgive(self, seen: Collection[str]) -> None:
        """Forget refusals of what is not ``seen`` any more."""
        self._refused = {fsuuid: why for fsuuid, why in self._refused.items() if fsuuid in seen}
        self.retired = {fsuuid: why for fsuuid, why in self.retired.items() if fsuuid in seen}

    def tell_conflict(self, fsuuid: str, drive: Drive | None, names: str, cause: str) -> None:
        """Tell once of copies of a drive that is not served; of one that is, its state tells."""
        if drive is None and self._refused.get(fsuuid) != (names, cause):
            self._refused[fsuuid] = (names, cause)
            self.emit("drive", "conflict", fsuuid, device=names, cause=cause)

    # ---- states -------------------------------------------------------------------------------------------------

    def fault(self, drive: Drive, cause: str) -> None:
        """Note that work on a drive failed with an I/O error; the scan that follows looks closer."""
        self.observe(drive.fsuuid, drive, Observation.IO_ERROR, cause)
        self.on_doubt()

    def observe(
        self, fsuuid: str, drive: Drive | None, observation: Observation, message: str, advice: str = ""
    ) -> None:
        """Note what was seen of a drive; an empty ``advice`` is what the table has."""
        if drive is None:
            self._tell_unknown(fsuuid, observation, message, advice)
            return
        outcome = step(drive.record.status, observation)
        news = drive.set_state(
            outcome.status, _conditions(drive, outcome, message), readable=_readable(drive, outcome, observation)
        )
        if observation is Observation.ABSENT:
            news = drive.change(device="") or news
        if outcome.event is not None:
            kind = "ready" if outcome.event in _HEALTHY_AGAIN else outcome.event
            log.info("drive changed", extra={"drive": fsuuid, "kind": kind, "cause": message})
            advice = advice or advice_for(observation, fsuuid)
            why = {"reason": reason_for(observation), "advice": advice}
            self.emit(
                "drive", kind, fsuuid, device=drive.record.device, status=str(outcome.status), cause=message,
                **{name: text for name, text in why.items() if text},
            )  # fmt: skip
            if kind == "ready":
                self.on_take_over(drive)
        if news:
            self.on_change()

    def _tell_unknown(self, fsuuid: str, observation: Observation, message: str, advice: str) -> None:
        """Tell once of a device that looks like a drive and cannot be used, while nobody knows whose it is."""
        if self._unknown.get(fsuuid) == message:
            return
        self._unknown[fsuuid] = message
        log.warning("drive cannot be used", extra={"drive": fsuuid, "seen": str(observation), "error": message})
        advice = advice or advice_for(observation, fsuuid)
        self.emit("drive", "error", fsuuid, cause=message, reason=reason_for(observation), advice=advice)

    def warn(self, drive: Drive, condition: ConditionType, cause: str) -> None:
        """Note a warning about a drive that goes on serving, or its end (empty ``cause``), and tell of either once."""
        before = drive.warned(condition)
        if not drive.set_warning(condition, cause, now_rfc3339()):
            return
        if bool(before) != bool(cause):
            kind = "warning" if cause else "warning-ended"
            about = {"drive": drive.fsuuid, "kind": kind, "condition": condition, "cause": cause}
            log.info("drive warning", extra=about)
            self.emit(
                "drive", kind, drive.fsuuid, device=drive.record.device,
                condition=str(condition), reason=reason_for(condition),
                **({"cause": cause, "advice": advice_for(condition, drive.fsuuid)} if cause else {"cause": before}),
            )  # fmt: skip
        self.on_change()


def _uses(view: DriveView, volumes: Mapping[str, VolumeRecord], staging: Mapping[str, str]) -> dict[str, VolumeUse]:
    """Look where volumes of a drive are mounted; blocking."""
    return uses_in(own_mounts(view.device, parents=True), view, volumes, staging)


def _conditions(drive: Drive, outcome: Step, message: str) -> tuple[Condition, ...]:
    if outcome.condition is not None:
        return (Condition(type=outcome.condition, message=message, since=now_rfc3339()),)
    return drive.faults if outcome.status is DriveStatus.ERROR else ()


def _readable(drive: Drive, outcome: Step, observation: Observation) -> bool:
    """Tell whether what is on the drive can be trusted; a look that began before a repair says nothing of it now."""
    if observation is Observation.DUPLICATE or outcome.status is DriveStatus.REPAIRING:
        return drive.readable
    return observation in (Observation.PRESENT_MOUNTED, Observation.READ_ONLY)


def _identity(facts: DeviceFacts) -> str:
    """Return what must change before a device that was refused is looked at again."""
    return f"{facts.name} {facts.major_minor} {facts.superblock}"
