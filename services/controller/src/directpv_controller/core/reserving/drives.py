"""Decisions about drives: registering them, following their nodes, cordoning and labelling them."""

from collections.abc import Callable

import msgspec

from directpv_common.protocol import names
from directpv_common.protocol.errors import Conflict, NotFound
from directpv_common.protocol.messages import ChangeDrive, Condition, ConditionType, DriveRecord, DriveStatus
from directpv_controller.core.placing.model import UNKNOWN, Change, Drive, Writes
from directpv_controller.core.placing.placement import Chance
from directpv_controller.core.reserving import labels
from directpv_controller.core.reserving.books import Books

replace = msgspec.structs.replace


class DriveBooks(Books):
    """The part of the ledger that is about drives."""

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.busy: set[str] = set()
        """Volumes with a change that is not committed."""
        self.doubtful: set[str] = set()
        """Drives whose record was taken back while later commits may already have carried it: to be written again."""

    def change(
        self,
        writes: Writes,
        undo: Callable[[], None],
        *touched: str,
        done: Callable[[], None] | None = None,
    ) -> Change:
        """Make a change that keeps the volumes ``touched`` busy until its outcome is known."""
        return Change(writes, undo, busy=self.busy, names=touched, done=done)

    def drive(self, fsuuid: str) -> Drive:
        """Return a drive.

        Raises:
            NotFound: There is none of this id.
        """
        drive = self.drives.get(fsuuid)
        if drive is None or not drive.known:
            raise NotFound(f"drive {fsuuid} does not exist", fsuuid=fsuuid)
        return drive

    def register(self, record: DriveRecord) -> Change:
        """Enter a drive, or bring a known one of the same node up to date; no volume is placed before the commit.

        Raises:
            Conflict: The drive belongs to another node.
        """
        drive = self.drives.get(record.fsuuid)
        if drive is not None and drive.known:
            if drive.record.node != record.node:
                raise Conflict(f"drive {record.fsuuid} belongs to node {drive.record.node}", fsuuid=record.fsuuid)
            return self.set_drive(drive, labels.observed(drive.record, record))
        if drive is not None:
            return self._found(drive, record)
        drive = self.enter(record)
        drive.pending = True
        return self.change(Writes(drives=(record,)), lambda: self._undo_register(drive), done=lambda: self._open(drive))

    def _found(self, drive: Drive, record: DriveRecord) -> Change:
        """Put a drive in the place of its placeholder; it stays if the commit fails, and is asked for again."""
        self.move(drive, record)
        drive.known, drive.pending = True, True

        def undo() -> None:
            drive.known, drive.pending, drive.generation = False, False, UNKNOWN
            self.index.changed(drive)

        return self.change(Writes(drives=(record,)), undo, done=lambda: self._open(drive))

    def _open(self, drive: Drive) -> None:
        drive.pending = False
        self.unreadable.pop(("drive", drive.fsuuid), None)
        if self.drives.get(drive.fsuuid) is drive:
            self.index.changed(drive)

    def _undo_register(self, drive: Drive) -> None:
        """Take the drive out; with volumes on it meanwhile, it stays as a placeholder until its node reports it."""
        if self.drives.get(drive.fsuuid) is not drive:
            return
        if not drive.volumes:
            self.leave(drive)
            return
        drive.known, drive.generation = False, UNKNOWN
        self.index.changed(drive)

    def set_drive(self, drive: Drive, record: DriveRecord) -> Change:
        """Replace the record of a drive; undo takes back the fields that this change made, and no others."""
        before = drive.record
        self.set_record(drive, record)
        fields = [name for name in record.__struct_fields__ if getattr(before, name) != getattr(record, name)]

        def undo() -> None:
            drive.generation = UNKNOWN
            self.doubtful.add(drive.fsuuid)
            self.set_record(drive, replace(drive.record, **{name: getattr(before, name) for name in fields}))

        self.doubtful.discard(drive.fsuuid)
        return self.change(Writes(drives=(record,)), undo)

    def rehome(self, drive: Drive, node: str, now: str) -> Change:
        """Let a drive be another node's, with all that is on it; it is lost until that node reports it."""
        before = drive.record
        cause = Condition(
            type=ConditionType.LOST, message=f"its disk was moved here from node {before.node}", since=now
        )
        self.move(
            drive,
            replace(
                before,
                node=node,
                device="",
                last_device="",
                status=DriveStatus.LOST,
                conditions=(cause,),
                topology={**before.topology, names.NODE: node},
            ),
        )
        self._not_looked_at(drive)

        def undo() -> None:
            self.move(drive, replace(before, **{name: getattr(drive.record, name) for name in labels.DECIDED}))
            self._not_looked_at(drive)

        return self.change(Writes(drives=(drive.record,)), undo)

    @staticmethod
    def _not_looked_at(drive: Drive) -> None:
        """Nothing that a node said of the drive counts any more: neither where volumes are mounted."""
        drive.boot, drive.generation, drive.missed = "", UNKNOWN, 0
        for volume in drive.volumes.values():
            volume.use = None

    def change_drive(self, request: ChangeDrive) -> tuple[Drive, Change | None]:
        """Cordon, suspend or label a drive, or take that back; a request that changes nothing needs no commit.

        Raises:
            NotFound: No such drive.
            InvalidRequest: A label is reserved or not a valid label; ``field`` names it.
        """
        labels.check(request)
        drive = self.drive(request.fsuuid)
        record = labels.applied(drive.record, request)
        return drive, None if record == drive.record else self.set_drive(drive, record)
