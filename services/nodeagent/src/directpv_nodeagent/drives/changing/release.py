"""Gives drives up that have no volumes, when the leader orders it.

    volumes, operations, mounts, several devices? ── yes ──► refused, all is as before
            │ no
            ▼
    Removed ──► the drive's own record says so ──► unmounted, plainly ──► wiped, if asked ──► not known any more

Killed anywhere, the agent does not take the drive over again, and the same order goes on from there. A drive that no
device carries is not known any more, that is all.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from directpv_common.calls.singleflight import SingleFlight
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, Unavailable
from directpv_common.protocol.messages import DriveReleased, DriveStatus, ReleaseDrive, Wipe
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.changing import release_device
from directpv_nodeagent.drives.changing.release_device import Asked
from directpv_nodeagent.drives.changing.wipes import Wipes
from directpv_nodeagent.drives.core import release
from directpv_nodeagent.drives.core.orders import Fences
from directpv_nodeagent.drives.taken import remembered, retired
from directpv_nodeagent.drives.taken.work import Work
from directpv_nodeagent.drives.watching.scanner import PROBE_SECONDS
from directpv_nodeagent.layout.core.held import Drive

log = logging.getLogger(__name__)
T = TypeVar("T")

LOCAL_SECONDS: Final = 15.0
_WIPED: Final = "the device was wiped"
_WIPED_OR_NOT: Final = "it was wiped to its end, or pulled before; wipe it again if it is found"


class Releases:
    """Carries out orders to give drives up."""

    def __init__(self, work: Work, fences: Fences, settle: Callable[[str], Awaitable[None]]) -> None:
        """Take what it works with; ``settle`` looks at a drive anew, and mounts it if it can be."""
        self._work, self._drives = work, work.drives
        self._fences = fences
        self._settle = settle
        self._flights: SingleFlight[DriveReleased] = SingleFlight()
        self._wipes = Wipes(work.drives)

    async def release(self, request: ReleaseDrive) -> DriveReleased:
        """Give a drive up, or go on with it; a wipe goes on in the background, and is asked for again.

        Raises:
            Fenced: The order came from a leader that was replaced.
            FailedPrecondition: It has volumes, or is used; says what to do first. Nothing was changed.
            Busy: Something works on it that ends by itself.
            Unavailable: Devices were not all looked at yet.
        """
        self._fences.check(request.fence)
        release.check_wipe(request.wipe)
        return await self._flights.run(request.fsuuid, request.wipe, lambda: self._release(request))

    async def stop(self) -> None:
        """End wipes that run: the next order goes on with them."""
        await self._wipes.stop()

    async def _release(self, request: ReleaseDrive) -> DriveReleased:
        fsuuid, drives = request.fsuuid, self._drives
        if not drives.scanned:
            raise Unavailable(f"node {drives.host.node} is still looking for its drives; repeat soon")
        if running := self._wipes.running(fsuuid):
            return DriveReleased(released=False, message=running)
        facts = release.the_device(fsuuid, await self._devices(fsuuid))
        if await self._local(lambda: self._wipes.was_begun(fsuuid)):
            return await self._go_on_wiping(request, facts)
        drive = drives.by_id.get(fsuuid)
        if drive is None and facts is not None and fsuuid not in drives.retired:
            await self._settle(fsuuid)  # it may just not have been looked at
            drive = drives.by_id.get(fsuuid)
        if request.lost and fsuuid not in drives.retired:
            return await self._abandon(request, drive, facts)
        if drive is not None:
            return await self._give_up(request, drive, facts)
        return await self._given_up(request, facts)

    async def _devices(self, fsuuid: str) -> list[DeviceFacts]:
        drive = self._drives.by_id.get(fsuuid)
        find = functools.partial(release_device.find, self._drives.prober, fsuuid, drive.device if drive else "")
        return await self._drives.executors.run("devices", find, PROBE_SECONDS, "looking for the drive")

    # ---- a drive of this node

    async def _give_up(self, request: ReleaseDrive, drive: Drive, facts: DeviceFacts | None) -> DriveReleased:
        names = (f"drive {drive.fsuuid}", *drive.volumes, *drive.purging)
        release.check_drive(drive, self._work.turns.running(*names))
        if facts is None:
            return await self._gone(request, drive.fsuuid)
        await self._local(lambda: self._wipes.check(facts, request.wipe))
        status, faults = drive.record.status, drive.faults
        drive.set_state(DriveStatus.REMOVED, (), readable=False)
        self._drives.on_change()
        try:
            noted = await self._let_go(request, drive, facts)
        except BaseException:
            drive.set_state(status, faults, readable=False)
            self._drives.look_again(drive.fsuuid)
            await self._settle(drive.fsuuid)
            raise
        if request.wipe is not Wipe.NONE:
            return await self._wipe(request, facts)
        return await self._done(request, facts, noted=noted)

    async def _let_go(self, request: ReleaseDrive, drive: Drive | None, facts: DeviceFacts) -> bool:
        host, record = self._drives.host, drive.record if drive is not None else None
        asked = Asked(host, request.fsuuid, facts, record, request.wipe, _since(request), request.lost)
        self._drives.busy_devices[facts.name] += 1
        try:
            async with self._drives.device(facts.name):
                let_go = functools.partial(release_device.let_go, asked)
                return await self._drives.mounting(request.fsuuid, facts, let_go, "giving it up")
        finally:
            self._drives.busy_devices[facts.name] -= 1

    async def _done(self, request: ReleaseDrive, facts: DeviceFacts, *, noted: bool) -> DriveReleased:
        """Know the drive no more; its device is left alone as it is now."""
        drives, fsuuid = self._drives, request.fsuuid
        await self._local(lambda: remembered.forget(drives.host.root, fsuuid))
        await self._leave_place(request)
        now = await drives.executors.run(
            "devices", lambda: drives.prober.probe_one(facts.name), PROBE_SECONDS, f"probing {facts.name}"
        )
        why = drives.retired.get(fsuuid) or f"it was removed from DirectPV at {_since(request)}"
        drives.give_up(fsuuid, now or facts, why, noted=noted)
        left = "its file system stays on it" if noted else "the disk could not be written, and does not know of it"
        return DriveReleased(released=True, noted=noted, message=f"device {facts.name} is free; {left}")

    async def _abandon(self, request: ReleaseDrive, drive: Drive | None, facts: DeviceFacts | None) -> DriveReleased:
        """Know a drive no more with all that is on it; pods that still use it keep what they have until they end."""
        fsuuid, root = request.fsuuid, self._drives.host.root
        if drive is not None:
            release.check_idle(drive, self._work.turns.running(f"drive {fsuuid}", *drive.volumes, *drive.purging))
        await self._local(lambda: retired.note(root, fsuuid, _since(request)))
        if facts is None:
            return await self._gone(request, fsuuid)
        if drive is None:
            why = f"device {facts.name} carries it, and is not taken over"
            self._drives.give_up(fsuuid, facts, why, noted=False)
            return DriveReleased(released=True, message=why)
        drive.set_state(DriveStatus.REMOVED, (), readable=False)
        noted = False
        try:
            noted = await self._let_go(request, drive, facts)
        except (DirectPVError, OSError) as error:
            log.warning("drive that is given up is still mounted", extra={"drive": fsuuid, "error": str(error)})
        return await self._done(request, facts, noted=noted)

    # ---- a drive that this node has given up before, or does not have

    async def _given_up(self, request: ReleaseDrive, facts: DeviceFacts | None) -> DriveReleased:
        if facts is None:
            return await self._gone(request, request.fsuuid)
        if request.fsuuid not in self._drives.retired:
            return DriveReleased(
                released=True, message=f"device {facts.name} carries it, and is not taken over; it was left as it is"
            )
        try:
            noted = await self._let_go(request, None, facts)
        except FailedPrecondition:
            self._drives.look_again(request.fsuuid)
            await self._settle(request.fsuuid)
            raise
        if request.wipe is not Wipe.NONE:
            return await self._wipe(request, facts)
        return await self._done(request, facts, noted=noted)

    async def _gone(self, request: ReleaseDrive, fsuuid: str) -> DriveReleased:
        host = self._drives.host
        await self._local(lambda: release_device.clear(host, fsuuid))
        await self._leave_place(request)
        if fsuuid in self._wipes.ended:
            return DriveReleased(released=True, noted=True, message=_WIPED)
        await self._local(lambda: remembered.forget(host.root, fsuuid))
        await self._local(lambda: retired.note(host.root, fsuuid, _since(request)))
        self._drives.give_up(fsuuid, None, "it was removed from DirectPV; no device carries it", noted=False)
        return DriveReleased(released=True, message=f"no device of node {host.node} carries it")

    async def _leave_place(self, request: ReleaseDrive) -> None:
        if not request.lost:
            await self._local(lambda: release_device.remove_place(self._drives.host, request.fsuuid))

    # ---- wiping

    async def _wipe(self, request: ReleaseDrive, facts: DeviceFacts) -> DriveReleased:
        await self._local(lambda: self._wipes.note(request.fsuuid))
        await self._local(lambda: remembered.forget(self._drives.host.root, request.fsuuid))
        self._wipes.begin(request.fsuuid, facts, request.wipe)
        return DriveReleased(released=False, message=self._wipes.running(request.fsuuid))

    async def _go_on_wiping(self, request: ReleaseDrive, facts: DeviceFacts | None) -> DriveReleased:
        """End what was begun; of one that no device carries it is known whether it was wiped to its end."""
        fsuuid = request.fsuuid
        ended = await self._local(lambda: self._wipes.was_ended(fsuuid))
        if facts is None or (ended and not _carries(facts, fsuuid)):
            if ended:
                self._wipes.ended.add(fsuuid)
                self._forget_wiped(fsuuid)
            reply = await self._gone(request, fsuuid)
            await self._local(lambda: self._wipes.forget(fsuuid))
            if reply.noted:
                return reply
            return replace(reply, message=f"its wipe was begun, and {reply.message} any more: {_WIPED_OR_NOT}")
        self._wipes.begin(fsuuid, facts, Wipe.ZERO if request.wipe is Wipe.NONE else request.wipe)
        return DriveReleased(released=False, message=self._wipes.running(fsuuid))

    def _forget_wiped(self, fsuuid: str) -> None:
        """Know the drive no more: a scan that read the device before it was wiped may have taken it in after that."""
        if fsuuid in self._drives.by_id:
            self._drives.give_up(fsuuid, None, "it was removed from DirectPV, and wiped", noted=True)

    async def _local(self, work: Callable[[], T]) -> T:
        return await self._drives.executors.run("given up", work, LOCAL_SECONDS, "noting what is given up")


def _carries(facts: DeviceFacts, fsuuid: str) -> bool:
    """Tell whether a device shows that drive, or cannot be seen; one that shows nothing may stand for it, too."""
    block = facts.superblock
    return bool(facts.unreadable or facts.pending) or (block is not None and block.fsuuid == fsuuid)


def _since(request: ReleaseDrive) -> str:
    """Return when people gave the drive up; leaders of an earlier version do not tell: just now, then."""
    return request.since or now_rfc3339()
