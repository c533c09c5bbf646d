"""What the leader orders: volumes to be made, and volumes to be destroyed."""

import asyncio
import logging
from contextlib import ExitStack
from functools import partial
from typing import Final

from msgspec.structs import replace

from directpv_common.calls.context import note, step
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.errors import (
    IS_MOUNTED,
    MOUNTED,
    NOT_MOUNTED,
    DirectPVError,
    FailedPrecondition,
    Unavailable,
)
from directpv_common.protocol.messages import Prepared, PrepareVolumes, RemoveVolume, VolumeRecord, VolumeRemoved
from directpv_nodeagent.drives.core.orders import Fences, by_drive, is_another, is_moved_from, merged
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.drives.taken.work import WORK_SECONDS
from directpv_nodeagent.layout import marks, volume_dirs
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.layout import Mark, is_later
from directpv_nodeagent.layout.core.places import describe_paths, mounted_at
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import checked
from directpv_nodeagent.linux import mounts
from directpv_nodeagent.volumes import remains
from directpv_nodeagent.volumes.core.decisions import is_mounted
from directpv_nodeagent.volumes.moving import incoming
from directpv_nodeagent.volumes.moving.moves import Moves
from directpv_nodeagent.volumes.purging import Purging
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

REPLY_SECONDS: Final = 1.0
"""How long a removal waits for the purge: small volumes are gone when it is answered."""
PREPARE_SECONDS: Final = 60.0


class LeaderOrders:
    """Carries out the leader's orders on volumes."""

    def __init__(self, work: VolumeWork, fences: Fences, purging: Purging, moves: Moves) -> None:
        self._work = work
        self._fences = fences
        self._removals: SingleFlight[VolumeRemoved] = SingleFlight()
        self._batches: SingleFlight[dict[str, str]] = SingleFlight()
        self._purging = purging
        self._moves = moves

    # ---- prepare ------------------------------------------------------------------------------------------------

    async def prepare(self, request: PrepareVolumes) -> Prepared:
        """Make each volume on its drive, or bring it up to date; what could not be made is told with the reason.

        Raises:
            Fenced: The order came from a leader that was replaced.
        """
        self._fences.check(request.fence)
        failed: dict[str, str] = {}
        for outcome in await asyncio.gather(
            *(
                self._batches.run(object(), None, lambda f=fsuuid, r=records: self._seen(f, r, request.traces))  # type: ignore[misc]
                for fsuuid, records in by_drive(request.records).items()
            )
        ):
            failed |= outcome
        return Prepared(failed=failed)

    async def _seen(self, fsuuid: str, records: list[VolumeRecord], traces: dict[str, str]) -> dict[str, str]:
        """Prepare volumes of one drive, each in the trace of the call that wanted it."""
        with ExitStack() as stack:
            for record in records:
                if trace := traces.get(record.name):
                    stack.enter_context(step("make directory", trace))
                    note(volume=record.name, drive=fsuuid)
            return await self._prepare_on(fsuuid, records)

    async def _prepare_on(self, fsuuid: str, records: list[VolumeRecord]) -> dict[str, str]:
        """Prepare volumes of one drive; return those that failed."""
        outdated = self._outdated(fsuuid, records)
        try:
            records = [record for record in records if record.name not in outdated]
            await self._note_homes(fsuuid, records)
            drive = self._work.drives.get(fsuuid)
            self._note_labels(drive, records)
            drive.check_usable()
            records, moving = self._without_moving(records)
            async with self._work.turns.take(*(record.name for record in records), kind="prepare") as turn:
                adopted, stuck = await self._adopt(turn, drive, records)
                records = [record for record in records if record.name not in stuck]
                wanted, failed = self._reserve(drive, records)
                try:
                    failed |= await self._make(drive, wanted, turn)
                    await self._settle(turn, drive, adopted - failed.keys())
                    return outdated | moving | stuck | failed
                finally:
                    for record in wanted:
                        drive.release(record.name)
        except DirectPVError as error:
            return outdated | {record.name: error.message for record in records}

    def _outdated(self, fsuuid: str, records: list[VolumeRecord]) -> dict[str, str]:
        """Return volumes that were moved away from the drive since the registry was as it is now, with the reason.

        It was restored from a backup. What another drive has of them is the volume, and must not be taken for a copy.
        """
        found: dict[str, str] = {}
        home = self._work.drives.by_id.get(fsuuid)
        for record in records:
            name = record.name
            lacks = home is not None and not home.trouble() and name not in home.volumes
            for drive in self._work.drives.holders(name):
                open_to_all = drive is not home and name not in drive.sealed and name not in drive.strays
                if open_to_all and is_moved_from(fsuuid, record, drive.volumes[name], lacks=lacks):
                    found[name] = (
                        f"it was moved from drive {fsuuid} to {drive.describe()} since the registry was as it is now"
                    )
        return found

    def _without_moving(self, records: list[VolumeRecord]) -> tuple[list[VolumeRecord], dict[str, str]]:
        """Leave out volumes whose last pass is under way: all others of the order would wait for it."""
        moving = {
            record.name: "its last pass to another drive is under way"
            for record in records
            if f"move of {record.name}" in self._work.turns.running(record.name)
        }
        return [record for record in records if record.name not in moving], moving

    async def _adopt(self, turn: Turn, drive: Drive, records: list[VolumeRecord]) -> tuple[set[str], dict[str, str]]:
        """Put copies in their places: the registry has these volumes on this drive. Return them, and what could not be.

        Without that, a volume that was copied here would be made anew, and empty.
        """
        view, unknown = drive.view, [record for record in records if record.name not in drive.volumes]
        if not unknown:
            return set(), {}
        found = await self._work.on(turn, drive, lambda: incoming.adopt_all(view, unknown), "looking for copies")
        for name, error in found.items():
            if error is None:
                self._moves.forget(name)
                drive.set_copy(name, None)
                log.info("copy adopted", extra={"volume": name, "drive": drive.fsuuid})
                self._work.emit("volume", "moved", name, drive=drive.fsuuid)
        stuck = {name: error.message for name, error in found.items() if error is not None}
        return found.keys() - stuck.keys(), stuck

    async def _settle(self, turn: Turn, drive: Drive, adopted: set[str]) -> None:
        if adopted:
            view = drive.view
            await self._work.on(turn, drive, lambda: incoming.settle(view, adopted), "ending moves")

    async def _note_homes(self, fsuuid: str, records: list[VolumeRecord]) -> None:
        """Take in that volumes are on this drive, and that what other drives have under their names are copies.

        It counts at once, and is kept on the drives of the copies, as far as these can be written.
        """
        for record in records:
            for drive in self._work.drives.holders(record.name):
                home = "" if drive.fsuuid == fsuuid else fsuuid
                if not home and record.name in drive.sealed:
                    continue  # which only the move's own order lifts
                if drive.set_stray(record.name, home):
                    log.info("volume or copy", extra={"volume": record.name, "drive": drive.fsuuid, "stray_of": home})
                    self._work.drives.on_change()
                    await self._keep_home(drive, record.name, home)

    async def _keep_home(self, drive: Drive, name: str, home: str) -> None:
        if drive.trouble():
            return
        view = drive.view
        try:
            async with self._work.turns.take(name, kind="prepare") as turn:
                await self._work.on(turn, drive, lambda: volume_dirs.mark_stray(view, name, home), f"marking {name}")
        except DirectPVError as error:
            log.warning("copy not marked", extra={"volume": name, "drive": drive.fsuuid, "error": error.message})

    def _note_labels(self, drive: Drive, records: list[VolumeRecord]) -> None:
        """On a drive that has failed, let labels count at once: whoever suspends its volumes wants pods to start now.

        They are forgotten when the drive is read again, and ordered again by the leader, which compares.
        """
        news = [drive.relabel(record.name, record.labels) for record in records] if drive.trouble() else []
        if any(news):
            self._work.drives.on_change()

    def _reserve(self, drive: Drive, records: list[VolumeRecord]) -> tuple[list[VolumeRecord], dict[str, str]]:
        """Promise space to what has to be made or changed, and say what cannot be."""
        wanted: list[VolumeRecord] = []
        failed: dict[str, str] = {}
        for record in records:
            known = drive.volumes.get(record.name)
            if known is not None and is_another(known, record.incarnation or None):
                failed[record.name] = f"{drive.describe()} still has another volume of that name; it must go first"
                continue
            keep = merged(known, replace(record, moving=None))
            if keep == known:
                continue
            try:
                self._check(drive, record.name)
                drive.reserve(record.name, keep.capacity)
                wanted.append(keep)
            except DirectPVError as error:
                failed[record.name] = error.message
        return wanted, failed

    def _check(self, drive: Drive, name: str) -> None:
        checked(name)
        holders = [each for each in self._work.drives.holders(name) if each.strays.get(name) != drive.fsuuid]
        if holders and drive not in holders:
            raise FailedPrecondition(
                f"{name} is on {holders[0].describe()} already; rename its directory there if that is no copy to keep"
            )

    async def _make(self, drive: Drive, wanted: list[VolumeRecord], turn: Turn) -> dict[str, str]:
        if not wanted:
            return {}
        view, known = drive.view, dict(drive.projects)
        recorded = frozenset(record.name for record in wanted if record.name in drive.volumes)
        made = await self._work.on(
            turn, drive, lambda: volume_dirs.prepare(view, wanted, known, recorded), "making volumes", PREPARE_SECONDS
        )
        failed: dict[str, str] = {}
        for record in wanted:
            project = made[record.name]
            if isinstance(project, int):
                drive.put(record, project)
            else:
                failed[record.name] = project.message
        self._work.drives.on_change()
        return failed

    # ---- remove -------------------------------------------------------------------------------------------------

    async def remove(self, request: RemoveVolume) -> VolumeRemoved:
        """Destroy a volume that is mounted nowhere; a volume that is not on its drive is gone already.

        Raises:
            Fenced: The order came from a leader that was replaced.
            Unavailable: Its drive is not here now; the details say whether the volume is mounted all the same.
            FailedPrecondition: It is mounted; names the paths.
        """
        self._fences.check(request.fence)
        checked(request.name)
        key = (request.name, request.fsuuid, request.incarnation, request.move)
        return await self._removals.run(key, None, lambda: self._remove(request))

    async def _remove(self, request: RemoveVolume) -> VolumeRemoved:
        name, fsuuid = request.name, request.fsuuid
        drive = self._work.drives.by_id.get(fsuuid)
        if drive is None or drive.trouble():
            why = f"{drive.describe()} {drive.trouble()}" if drive else f"drive {fsuuid} is not on it at the moment"
            node, mounted = self._work.drives.host.node, await self._mounted_details(name)
            raise Unavailable(f"{name} cannot be removed from node {node} now: {why}", **mounted)
        async with self._work.turns.take(name, kind="remove") as turn:
            view, known = drive.view, drive.volumes.get(name)
            if request.move and known is not None:
                self._require_moved(request, drive)
            if known is None:
                meant = partial(_is_meant, view, name, request.incarnation)
                another = not await self._work.on(turn, drive, meant, f"looking for {name}")
            else:
                another = is_another(known, request.incarnation)
            if another:
                log.warning("a later volume of that name is kept", extra={"volume": name, "drive": fsuuid})
                return VolumeRemoved(purged=True)
            take_off = partial(_take_off, view, name, request.moved_to)
            had, left = await self._work.on(turn, drive, take_off, f"removing {name}")
            if had or name in drive.volumes or (left and name not in drive.purging):
                drive.retire(name, left)
                self._work.emit("volume", "removed", name, drive=fsuuid)
                self._work.drives.on_change()
        if not left:
            return VolumeRemoved(purged=True)
        purge = self._purging.purge(drive, name)
        await asyncio.wait([purge], timeout=REPLY_SECONDS)
        return VolumeRemoved(purged=name not in drive.purging)

    def _require_moved(self, request: RemoveVolume, drive: Drive) -> None:
        """Raise unless what is here was sealed by the move that is meant, and the other drive serves the volume.

        Raises:
            FailedPrecondition: It was not, or another drive does not have it now.
        """
        name, home = request.name, self._work.drives.by_id.get(request.moved_to)
        if drive.sealed.get(name) != request.move:
            raise FailedPrecondition(f"what {drive.describe()} has of {name} was not moved away by move {request.move}")
        moved = home.volumes.get(name) if home is not None and not home.trouble() else None
        if moved is None or is_another(moved, request.incarnation):
            raise FailedPrecondition(f"{name} is not on drive {request.moved_to} now: its former data is kept")

    async def _mounted_details(self, name: str) -> dict[str, str]:
        """Return whether the volume is mounted anywhere, as details of an error; empty if that cannot be told."""
        try:
            mounted = await self._work.drives.executors.run(
                "mount table", lambda: is_mounted(mounts.all_mounts(), name), WORK_SECONDS, f"looking for {name}"
            )
        except (DirectPVError, OSError) as error:
            log.warning("mounts of a volume not looked for", extra={"volume": name, "error": str(error)})
            return {}
        return {MOUNTED: IS_MOUNTED if mounted else NOT_MOUNTED}


def _is_meant(view: DriveView, name: str, incarnation: str | None) -> bool:
    """Tell, by its mark, whether what is or was there under a name without record may be the volume that is meant."""
    with volume_dirs.drive_of(view) as drive:
        mark = marks.word(drive, Mark.HELD, name)
    return not is_later(mark or "", incarnation or "")


def _take_off(view: DriveView, name: str, moved_to: str = "") -> tuple[bool, bool]:
    """Rename the volume's directory and remove its record, unless it is mounted anywhere.

    Returns:
        Whether there was a directory, and whether data remains.
    """
    with volume_dirs.drive_of(view) as drive:
        paths = mounted_at(mounts.all_mounts(), view.place(name))
        if paths:
            raise FailedPrecondition(f"{name} is still mounted at {describe_paths(paths)}; unmount it first")
        had = name in drive.volume_names()
    return had, remains.retire(view, name, moved_to)
