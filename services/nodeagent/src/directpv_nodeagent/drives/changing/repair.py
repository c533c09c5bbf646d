"""Repairs the file system of a drive that nothing uses.

    state, operations, mounts and device allow it? ── no ──► refused, nothing changed
            │ yes: answered, the rest goes on by itself
            ▼
    Repairing ──► unmounted, plainly ──► log replayed by mounting ──► nobody holds the device ──► xfs_repair
                                                                                                     │ however it ended
    Ready or Error ◄── looked at anew: mounted, read ◄── Repairing ends ◄────────────────────────────┘

Nothing of it is kept on the drive: after a restart the agent sees what is there. xfs_repair dies with the agent, and
holds the device so that it cannot be mounted meanwhile. Source: upstream's flow, without its traps.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from directpv_common.calls.context import detached
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import Busy, DirectPVError, NotFound
from directpv_common.protocol.messages import DriveId, DriveStatus, OrderRepair, RepairOutcome, RepairStatus
from directpv_nodeagent.drives.changing import repair_device
from directpv_nodeagent.drives.changing.repair_device import Found
from directpv_nodeagent.drives.core import repair
from directpv_nodeagent.drives.core.orders import Fences
from directpv_nodeagent.drives.core.repair import Verdict
from directpv_nodeagent.drives.core.states import Observation
from directpv_nodeagent.drives.taken.work import Work
from directpv_nodeagent.drives.watching.scanner import PROBE_SECONDS
from directpv_nodeagent.layout.core.held import Drive

log = logging.getLogger(__name__)

EVENT_OUTPUT: Final = 2000
"""Characters of output in an event."""


class Repairs:
    """Repairs under way, and the last one of each drive."""

    def __init__(self, work: Work, fences: Fences, settle: Callable[[str], Awaitable[None]], seconds: float) -> None:
        """Take what it works with.

        Args:
            work: Drives and turns.
            fences: Whose orders count.
            settle: Looks at a drive anew, and mounts it if it can be.
            seconds: How long xfs_repair may run.
        """
        self._work = work
        self._drives = work.drives
        self._fences = fences
        self._settle = settle
        self._seconds = seconds
        self._last: dict[str, tuple[OrderRepair, RepairStatus]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # ---- asked by others ----------------------------------------------------------------------------------------

    async def repair(self, request: OrderRepair) -> RepairStatus:
        """Begin a repair, or join the one that runs, and return at once.

        Raises:
            Fenced: The order came from a leader that was replaced.
            NotFound: This node does not know the drive.
            FailedPrecondition: It is used, lost, several, or the device is not certainly its; says what to do first.
            Busy: Another repair of it runs, or operations on its volumes.
        """
        self._fences.check(request.fence)
        if (known := self._known(request)) is not None:
            return known
        drive = self._drive(request.fsuuid)
        self._check(drive)
        prober = self._drives.prober
        found = await self._drives.executors.run(
            "devices", lambda: repair_device.find(prober, drive), PROBE_SECONDS, "looking for the drive"
        )
        # From here to the task's start there is no await: what is checked holds when the state changes.
        if (known := self._known(request)) is not None:
            return known
        self._check(drive)
        repair.check_device(drive, found.facts, found.backups)
        repair.check_unused(drive, found.facts.major_minor, found.table)
        return self._begin(request, drive, found)

    async def status(self, request: DriveId) -> RepairStatus:
        """Return where the last repair of a drive stands.

        Raises:
            NotFound: None was begun since the agent started.
        """
        if request.fsuuid not in self._last:
            raise NotFound(
                f"no repair of drive {request.fsuuid} was begun since the agent of node {self._drives.host.node} "
                "started; one that ran before was ended with it: repeat it"
            )
        return self._last[request.fsuuid][1]

    async def stop(self) -> None:
        """End running repairs: the agent ends, and xfs_repair must not go on without it."""
        for task in tuple(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # ---- deciding -----------------------------------------------------------------------------------------------

    def _known(self, request: OrderRepair) -> RepairStatus | None:
        """Return the repair that ``request`` repeats or joins; None if it is a new one."""
        before, status = self._last.get(request.fsuuid, (None, None))
        if before is None or status is None:
            return None
        running = status.outcome is RepairOutcome.RUNNING
        if before.id == request.id or (running and repair.same_work(before, request)):
            return status
        if running:
            raise Busy(
                f"drive {request.fsuuid} is being repaired since {status.started} with other flags; wait until that "
                "has ended"
            )
        return None

    def _drive(self, fsuuid: str) -> Drive:
        drive = self._drives.by_id.get(fsuuid)
        if drive is None:
            raise NotFound(
                f"node {self._drives.host.node} has no drive {fsuuid}. A drive whose damage is so large that it cannot "
                "be recognised is known after a restart of the agent only if its disk says which it is, and its backup "
                "super blocks are there: run xfs_repair on its device by hand"
            )
        return drive

    def _check(self, drive: Drive) -> None:
        repair.check_state(drive)
        names = (f"drive {drive.fsuuid}", *drive.volumes, *drive.purging)
        repair.check_turns(drive, self._work.turns.running(*names))

    # ---- doing --------------------------------------------------------------------------------------------------

    def _begin(self, request: OrderRepair, drive: Drive, found: Found) -> RepairStatus:
        status = RepairStatus(
            fsuuid=drive.fsuuid,
            id=request.id,
            outcome=RepairOutcome.RUNNING,
            dry_run=request.dry_run,
            message=f"xfs_repair works on {found.facts.name}",
            started=now_rfc3339(),
        )
        self._last[drive.fsuuid] = (request, status)
        was_well = drive.record.status is DriveStatus.READY
        drive.set_state(DriveStatus.REPAIRING, (), readable=False)
        self._drives.busy_devices[found.facts.name] += 1
        log.info("repair begins", extra={"drive": drive.fsuuid, "device": found.facts.name, "dry_run": request.dry_run})
        self._drives.emit(
            "drive", "repairing", drive.fsuuid, device=found.facts.name, dry_run=request.dry_run, force=request.force
        )
        self._drives.on_change()
        task = asyncio.create_task(
            self._run(request, drive, found, status, was_well), name=f"repair {drive.fsuuid}", context=detached()
        )
        self._tasks[drive.fsuuid] = task
        task.add_done_callback(lambda _: self._tasks.pop(drive.fsuuid, None))
        return status

    async def _run(
        self, request: OrderRepair, drive: Drive, found: Found, status: RepairStatus, was_well: bool
    ) -> None:
        """Work on the drive, and bring it back whatever came of it; a check of one that was well leaves it well."""
        verdict, ended = Verdict(RepairOutcome.FAILED, "the agent stopped; repeat the repair when it is back"), None
        try:
            async with self._drives.device(found.facts.name):
                ended = await repair_device.work_on(self._drives, request, drive, found, self._seconds)
            verdict = repair.judge(request, ended.status)
        except (DirectPVError, OSError) as error:
            verdict = Verdict(RepairOutcome.FAILED, str(error))
        except Exception as error:
            log.exception("repair failed", extra={"drive": drive.fsuuid})
            verdict = Verdict(RepairOutcome.FAILED, f"{type(error).__name__}: the log of the node's agent has more")
        finally:
            self._drives.busy_devices[found.facts.name] -= 1
            unchanged = request.dry_run and was_well
            ended_as = Observation.CHECK_ENDED if unchanged else Observation.OPERATION_ENDED
            self._drives.observe(drive.fsuuid, drive, ended_as, verdict.message)
            status = replace(
                status,
                output=repair.end_of(ended.output) if ended else "",
                exit_status=ended.status if ended else None,
            )
        await self._settle(drive.fsuuid)
        self._end(request, status, verdict)

    def _end(self, request: OrderRepair, status: RepairStatus, verdict: Verdict) -> None:
        """Note and tell how it ended, and what the drive is now."""
        drive = self._drives.by_id.get(status.fsuuid)
        now = drive.record.status if drive is not None else DriveStatus.ERROR
        trouble = drive.trouble() if drive is not None else repair.UNRECOGNISED
        outcome, message = verdict.outcome, verdict.message
        if trouble:
            message = f"{message}. The drive {trouble}"
            if outcome in (RepairOutcome.CLEAN, RepairOutcome.REPAIRED) and not request.dry_run:
                outcome = RepairOutcome.FAILED
        status = replace(status, outcome=outcome, message=message, status=now, ended=now_rfc3339())
        self._last[status.fsuuid] = (request, status)
        self._tell(status, drive.record.device if drive is not None else "")

    def _tell(self, status: RepairStatus, device: str) -> None:
        if status.outcome is RepairOutcome.FAILED:
            kind = "repair-failed"
        else:
            kind = "checked" if status.dry_run else "repaired"
        log.info("repair ended", extra={"drive": status.fsuuid, "outcome": status.outcome, "cause": status.message})
        self._drives.emit(
            "drive", kind, status.fsuuid, device=device, outcome=str(status.outcome), cause=status.message,
            exit_status=status.exit_status, status=str(status.status), output=status.output[-EVENT_OUTPUT:],
        )  # fmt: skip
