"""Stage: the first step of the node path, which also finds volumes that have no record yet."""

import logging
from functools import partial
from typing import Final, NamedTuple

from directpv_common.calls.singleflight import SingleFlight
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.errors import FailedPrecondition, NotFound, Unavailable
from directpv_common.protocol.messages import Done, Message, StageVolume, VolumeRecord
from directpv_nodeagent.drives.core.identity import doubt
from directpv_nodeagent.drives.core.orders import is_another
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.drive_dir import checked
from directpv_nodeagent.volumes import binding
from directpv_nodeagent.volumes.binding import NeedsTagging, Outcome
from directpv_nodeagent.volumes.core.decisions import mount_flags
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

TAG_SECONDS: Final = 3600.0
"""Staging may first have to give each file of a volume that upstream left without project id one."""


class _Found(NamedTuple):
    """What one drive has of a volume without record."""

    drive: Drive
    there: bool
    """It has a directory of that name."""
    named: bool
    """The volume context names the drive, and says how large the volume is."""
    capacity: int


class Staging:
    """Answers ``volume.stage``."""

    def __init__(self, work: VolumeWork) -> None:
        self._work = work
        self._flight: SingleFlight[Message] = SingleFlight()

    async def stage(self, request: StageVolume) -> Message:
        """Mount the volume at its staging path."""
        return await self._flight.run(request, request, lambda: self._stage(request))

    async def _stage(self, request: StageVolume) -> Message:
        name = checked(request.name)
        flags = mount_flags(request.mount_flags)
        async with self._work.turns.take(name, kind="stage") as turn:
            self._work.require_unsealed(name)
            drive = self._work.drives.holder(name, request.fsuuid, request.incarnation)
            drive = drive or await self._restore(turn, request)
            if drive.suspended(name):  # also, and above all, on a drive that has failed
                await self._work.stand_in_at(turn, drive, name, request.staging_path, binding.STAGING)
                return Done()
            drive.check_usable()
            _check_identity(drive, request)
            view, record, known = drive.view, drive.volumes[name], dict(drive.projects)
            path, stand_in = request.staging_path, self._work.stand_in

            def work(whole_tree: bool) -> Outcome:
                return binding.stage(view, record, path, flags, known, stand_in=stand_in, whole_tree=whole_tree)

            try:
                outcome = await self._work.on(turn, drive, lambda: work(False), f"staging {name}")
            except NeedsTagging:
                log.info("project id missing on content", extra={"volume": name, "drive": drive.fsuuid})
                tagging = partial(work, whole_tree=True)
                outcome = await self._work.on(turn, drive, tagging, f"staging {name}", TAG_SECONDS, lane="tagging")
            drive.staging_paths[name] = outcome.path
            self._work.note(drive, name, outcome, "staged", path=outcome.path)
        return Done()

    async def _restore(self, turn: Turn, request: StageVolume) -> Drive:
        """Give a volume that has no record one: upstream made it, or the leader's order to make it never arrived.

        Raises:
            NotFound: Nothing is known of the volume on this node.
            FailedPrecondition: It is there, but nobody says how large it is, or several drives have a directory of that
                name; or its drive cannot be used.
            Unavailable: Not all drives were looked at, and only the name speaks for the one that has it.
            OutOfRange: The drive has no space for it.
        """
        name, found = request.name, [await self._look(turn, drive, request) for drive in self._hinted(request)]
        places = [place for place in found if place.there or place.named]
        if not places:
            raise NotFound(f"no drive of node {self._work.drives.host.node} has volume {name}")
        if len(places) > 1:
            raise FailedPrecondition(doubt(name, [place.drive for place in places]))
        ((drive, there, _, capacity),) = places
        if not request.fsuuid and not self._work.drives.scanned:
            raise Unavailable(f"{name}: the drives of this node are still being looked at; repeat soon")
        if not capacity:
            raise FailedPrecondition(
                f"{name} is on {drive.describe()}, but without record, limit and size in its volume context; "
                "the controller will tell its size"
            )
        await self._make(turn, drive, request, capacity, there=there)
        return drive

    async def _look(self, turn: Turn, drive: Drive, request: StageVolume) -> "_Found":
        """Look for a directory without record on one drive."""
        view, name = drive.view, request.name
        look = partial(volume_dirs.find, view, name, request.incarnation)
        there, limit = await self._work.on(turn, drive, look, f"looking for {name}")
        capacity = max(limit, request.capacity)  # a class may ask for a limit below the size
        return _Found(drive, there, drive.fsuuid == request.fsuuid and bool(capacity), capacity)

    def _hinted(self, request: StageVolume) -> list[Drive]:
        """Return the drives that may have a volume without record: the one that the request names, or all."""
        drives = self._work.drives
        if request.fsuuid:
            chosen = [drives.by_id[request.fsuuid]] if request.fsuuid in drives.by_id else []
            for drive in chosen:
                drive.check_usable()
        else:
            chosen = [drive for drive in drives.by_id.values() if not drive.trouble()]
        return [drive for drive in chosen if request.name not in drive.purging]

    async def _make(self, turn: Turn, drive: Drive, request: StageVolume, capacity: int, *, there: bool) -> None:
        name = request.name
        record = VolumeRecord(
            name=name,
            fsuuid=drive.fsuuid,
            capacity=capacity,
            incarnation=request.incarnation,
            created=now_rfc3339(),
        )
        if not there:
            drive.reserve(name, capacity)
        try:
            view, known = drive.view, dict(drive.projects)
            recorded = frozenset({name} if there else ())
            made = await self._work.on(
                turn, drive, lambda: volume_dirs.prepare(view, [record], known, recorded)[name], f"making {name}"
            )
            if not isinstance(made, int):
                raise made
            drive.put(record, made)
        finally:
            drive.release(name)
        log.info("volume restored", extra={"volume": name, "drive": drive.fsuuid, "capacity": capacity})
        self._work.drives.on_change()


def _check_identity(drive: Drive, request: StageVolume) -> None:
    """Refuse to show an earlier, or a later, volume of the same name.

    Raises:
        FailedPrecondition: The drive has another one.
    """
    if is_another(drive.volumes[request.name], request.incarnation or None):
        raise FailedPrecondition(
            f"{request.name}: {drive.describe()} has another volume of that name, not the one that is asked for"
        )
