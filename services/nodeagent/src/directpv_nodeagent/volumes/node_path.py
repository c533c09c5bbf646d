"""The node path: publish, unpublish, unstage, expand, stats; :mod:`.staging` has stage.

Decided from the request, the drive's records and what is mounted. Neither the controller nor a memory that a restart
would lose has a say; a repeat finds what was done, whoever did it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from directpv_common.calls.context import detached
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import DirectPVError, DriveFault, NotFound
from directpv_common.protocol.messages import (
    Done,
    ExpandNodeVolume,
    GetVolumeUsage,
    Message,
    NodeVolumeExpanded,
    PublishVolume,
    StatVolume,
    UnpublishVolume,
    UnstageVolume,
    VolumeRecord,
    VolumeStats,
)
from directpv_common.protocol.reasons import TABLE, Reason, told
from directpv_nodeagent.drives.core.identity import mounted_at
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.drives.taken.work import WORK_SECONDS
from directpv_nodeagent.layout import usage, volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.drive_dir import checked
from directpv_nodeagent.volumes import binding
from directpv_nodeagent.volumes.binding import Leaving, Outcome, Publication
from directpv_nodeagent.volumes.core.decisions import expanded_capacity, mount_flags
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

COUNT_SECONDS: Final = 2.0
_LOWER_BOUND: Final = "it has too many files to count them now: it uses more than said"


class NodeVolumes:
    """Answers the calls of the node path; each is idempotent, and a repeat of a running one joins it."""

    def __init__(self, work: VolumeWork) -> None:
        self._work = work
        self._flight: SingleFlight[Message] = SingleFlight()
        self._notes: set[asyncio.Task[None]] = set()

    # ---- publish ------------------------------------------------------------------------------------------------

    async def publish(self, request: PublishVolume) -> Message:
        """Mount the staged volume at a target path."""
        return await self._flight.run(request, request, lambda: self._publish(request))

    async def _publish(self, request: PublishVolume) -> Message:
        name = checked(request.name)
        flags = mount_flags(request.mount_flags, read_only=request.read_only)
        async with self._work.turns.take(name, kind="publish", target=request.target_path) as turn:
            self._work.require_unsealed(name)
            drive = self._work.holder(name, request.staging_path)
            others = drive.use(name).published
            wanted = Publication(request.staging_path, request.target_path, flags, request.single_writer, others)
            suspended = drive.suspended(name)
            if suspended:
                outcome = await self._work.stand_in_at(turn, drive, name, request.target_path, binding.TARGET)
            else:
                drive.check_usable()
                work = self._work_of(drive, wanted, request)
                outcome = await self._work.on(turn, drive, work, f"publishing {name}")
            if outcome.staging:
                drive.staging_paths[name] = outcome.staging
            pod = {"pod": request.pod_name, "namespace": request.pod_namespace} if request.pod_name else {}
            self._work.note(
                drive, name, outcome, "published", path=outcome.path, read_only=request.read_only,
                suspended=suspended, **pod,
            )  # fmt: skip
        if not suspended:
            self._note_soon(drive.volumes.get(name), _pod_of(request), outcome.path)
        return Done()

    def _work_of(self, drive: Drive, wanted: Publication, request: PublishVolume) -> Callable[[], Outcome]:
        """Return what publishes a volume.

        One that was staged while it was suspended, or whose staging mount others took away, is staged first.
        """
        name, view, stand_in = request.name, drive.view, self._work.stand_in
        record, known, flags = drive.volumes[name], dict(drive.projects), mount_flags(request.mount_flags)

        def work() -> Outcome:
            gone = binding.was_taken_away(wanted.staging)
            if gone:
                log.warning("staging mount was gone", extra={"volume": name, "path": wanted.staging})
            if gone or binding.shows_stand_in(wanted.staging, stand_in):
                binding.stage(view, record, wanted.staging, flags, known, stand_in=stand_in, whole_tree=True)
            return binding.publish(view, name, wanted, stand_in)

        return work

    def _note_soon(self, record: VolumeRecord | None, pod: dict[str, str], path: str) -> None:
        """Keep on the drive that the volume is used, and by which pod; nobody waits for the disk."""
        if record is None or replace(record, used=True, **pod) == record:
            return
        name = record.name
        task = asyncio.create_task(self._note_use(name, pod, path), name=f"note {name}", context=detached())
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _note_use(self, name: str, pod: dict[str, str], path: str) -> None:
        """Note it, unless the pod has left ``path`` meanwhile. Never raises."""
        try:
            async with self._work.turns.take(name, kind="note") as turn:
                drive = self._work.holder(name, path)
                record = drive.volumes[name]
                used = replace(record, used=True, **pod)
                if used == record or (pod and path not in drive.use(name).published):
                    return
                view = drive.view
                await self._work.on(turn, drive, lambda: volume_dirs.write_volume_record(view, used), f"noting {name}")
                if drive.put(used):
                    self._work.drives.on_change()
        except DirectPVError as error:
            log.warning("use not noted", extra={"volume": name, "error": error.message})

    async def stop(self) -> None:
        """End what is being noted."""
        for task in tuple(self._notes):
            task.cancel()
        await asyncio.gather(*self._notes, return_exceptions=True)

    # ---- unpublish and unstage ----------------------------------------------------------------------------------

    async def unpublish(self, request: UnpublishVolume) -> Message:
        """Unmount and remove the target path; a volume that nobody knows is fine."""
        return await self._flight.run(
            request, request, lambda: self._take_away(request.name, request.target_path, "unpublish")
        )

    async def unstage(self, request: UnstageVolume) -> Message:
        """Unmount the staging path; a volume that nobody knows is fine."""
        return await self._flight.run(
            request, request, lambda: self._take_away(request.name, request.staging_path, "unstage")
        )

    async def _take_away(self, name: str, path: str, kind: str) -> Message:
        name, root, stand_in = checked(name), self._work.root, self._work.stand_in
        unpublish = kind == "unpublish"
        field = binding.TARGET if unpublish else binding.STAGING
        async with self._work.turns.take(name, kind=kind, target=path if unpublish else "") as turn:
            holders = self._work.drives.holders(name)
            drive = mounted_at(name, holders, path) or next(iter(holders), None)
            # Threads apart from the drive's: those may hang, and pods must be able to leave a dead drive.
            key, view = f"unmounting {drive.fsuuid if drive else 'volumes'}", drive.view if drive else None
            leaving = Leaving(root, name, path, field, stand_in, view, remove=unpublish)
            try:
                outcome = await turn.run(key, lambda: binding.take_away(leaving), WORK_SECONDS, f"{kind} {name}")
            except OSError as error:
                raise DriveFault(f"{kind} {name} at {path} failed: {error.strerror or error}") from error
            if drive is not None and name in drive.volumes:
                if not unpublish and drive.staging_paths.get(name) == outcome.path:
                    del drive.staging_paths[name]
                self._work.note(drive, name, outcome, f"{kind.removesuffix('e')}ed", path=outcome.path)
                if outcome.changed:
                    self._note_soon(drive.volumes[name], {}, outcome.path)
            if outcome.left:
                files = ", ".join(outcome.left)
                log.warning("directory left, it holds files of others", extra={"path": outcome.path, "files": files})
                self._work.emit("volume", "files-left", name, path=outcome.path, files=files)
        if not unpublish:
            self._work.drives.on_unstaged(name)
        return Done()

    # ---- expand and stats ---------------------------------------------------------------------------------------

    async def expand(self, request: ExpandNodeVolume) -> Message:
        """Raise the limit of a mounted volume; never lower it."""
        return await self._flight.run(request, request, lambda: self._expand(request))

    async def _expand(self, request: ExpandNodeVolume) -> Message:
        name, stand_in = checked(request.name), self._work.stand_in
        async with self._work.turns.take(name, kind="expand") as turn:
            drive = self._work.holder(name, request.volume_path)
            drive.check_usable()
            view, known, record = drive.view, dict(drive.projects), drive.volumes[name]
            await self._work.on(
                turn,
                drive,
                lambda: binding.check_mounted(view, name, request.volume_path, stand_in),
                f"looking for {name}",
            )
            capacity = expanded_capacity(name, record.capacity, request.required, request.limit)
            larger = replace(record, capacity=capacity)
            drive.reserve(name, capacity)
            try:
                project = await self._work.on(
                    turn, drive, lambda: volume_dirs.resize(view, larger, known), f"expanding {name}"
                )
                changed = drive.put(larger, project)
            finally:
                drive.release(name)
            if changed:
                self._work.emit("volume", "expanded", name, drive=drive.fsuuid, capacity=capacity)
                self._work.drives.on_change()
        return NodeVolumeExpanded(capacity=capacity)

    async def stats(self, request: StatVolume) -> VolumeStats:
        """Tell how full the volume is, and whether its drive is well; reads only, so it waits for nobody."""
        name, stand_in = checked(request.name), self._work.stand_in
        drive = self._work.holder(name, request.volume_path)
        view = drive.view
        turn = Turn(self._work.drives.executors, "stats", "")
        if not drive.trouble():  # else it may be mounted dead, covered, or nowhere; it is abnormal wherever it is
            await turn.run(
                f"mounts of {drive.fsuuid}",  # which asks the drive, too: others' must not wait for it
                lambda: binding.check_mounted(view, name, request.volume_path, stand_in),
                WORK_SECONDS,
                f"looking for {name}",
            )
        return await self._measured(turn, drive, name)

    async def usage(self, request: GetVolumeUsage) -> VolumeStats:
        """Tell how full a volume is, wherever it is mounted, if at all; reads only.

        Raises:
            NotFound: No such drive, or the drive has no such volume.
        """
        name, drive = checked(request.name), self._work.drives.get(request.fsuuid)
        if name not in drive.volumes:
            raise NotFound(f"drive {request.fsuuid} has no volume {name}", name=name)
        return await self._measured(Turn(self._work.drives.executors, "stats", ""), drive, name)

    async def _measured(self, turn: Turn, drive: Drive, name: str) -> VolumeStats:
        """Return what there is to say of a volume; of a drive that cannot be read, that it cannot."""
        view, record = drive.view, drive.volumes[name]
        if not drive.trouble():
            with contextlib.suppress(DriveFault):
                measured = await self._work.on(
                    turn, drive, lambda: usage.measure(view, name, record.capacity, COUNT_SECONDS), f"measuring {name}"
                )
                return _stats(measured, _warnings(drive, name))
        return VolumeStats(
            total=record.capacity,
            used=0,
            available=0,
            inodes_total=0,
            inodes_used=0,
            inodes_free=0,
            abnormal=True,
            condition=f"{drive.describe()} {drive.trouble() or 'does not answer'}",
        )


def _pod_of(request: PublishVolume) -> dict[str, str]:
    """Return the fields of the volume's record that tell the pod; empty: the caller names none."""
    if not request.pod_name:
        return {}
    return {"pod_name": request.pod_name, "pod_namespace": request.pod_namespace, "pod_uid": request.pod_uid}


def _warnings(drive: Drive, name: str) -> str:
    """Return what is to be feared of a drive that serves its volume; empty if nothing is."""
    said = "; ".join(map(told, drive.record.conditions))
    if name in drive.left_behind:
        meaning = TABLE[Reason.VOLUME_LEFT_BEHIND]
        said = "; ".join(filter(None, (said, f"{meaning.says}: {meaning.advice}")))
    return f"{drive.describe()} serves it, but {said}" if said else ""


def _stats(measured: usage.Measured, warnings: str) -> VolumeStats:
    return VolumeStats(
        total=measured.total,
        used=measured.used,
        available=measured.available,
        inodes_total=measured.inodes_used + measured.inodes_free,
        inodes_used=measured.inodes_used,
        inodes_free=measured.inodes_free,
        abnormal=bool(warnings),
        condition=(warnings or "volume is well") + ("" if measured.exact else f"; {_LOWER_BOUND}"),
    )
