"""Takes in what others do to drives: cordon, tier and labels; a status that asks for work is told."""

import logging
from typing import Final

import msgspec

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.errors import DirectPVError, InvalidRequest
from directpv_common.protocol.messages import DriveRecord, DriveStatus
from directpv_controller.core.editing.edits import drive_with_edit
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving import retiring
from directpv_controller.registry.kubernetes.apiserver.informer import Kind, newer
from directpv_controller.registry.kubernetes.editing.taking import Taking
from directpv_controller.registry.kubernetes.keeping.shelf import HeldDrive

log = logging.getLogger(__name__)

NO_MOVE: Final = "move would leave the data behind; nothing was moved, and the object was put back"
REMOVE: Final = "the drive is taken out of use: its node lets go of it, then the object goes"
REMOVE_NOT: Final = "{why} The object was put back"
TAKEN: Final = (
    "somebody reserved {extra} bytes more than the drive's volumes have, as an expansion by another controller does; "
    "the object was put back, and the volume is expanded when its node is told to, if the space is still free"
)
_TOLD_APART: Final = frozenset({"status"})
"""Of a drive: what a status asks for is told in words of its own."""


class DriveEdits(Taking):
    """Hears of each drive."""

    def seen(self, kind: Kind, obj: Object) -> None:
        """Take in what the informer saw, when nothing of the drive is being written."""
        fsuuid = obj["metadata"]["name"]
        self._registry.lane(fsuuid).when_idle("drive", lambda: self._drive_now(kind, fsuuid, obj))

    def _drive_now(self, kind: Kind, fsuuid: str, obj: Object) -> None:
        held = self._shelf.drives.get(fsuuid)
        version = obj["metadata"]["resourceVersion"]
        if held is not None and not newer(version, held.version):
            return
        if kind == "deleted":
            self._drive_gone(fsuuid, held)
        elif not self.fenced(obj):
            self._drive_changed(fsuuid, held, obj)

    def _drive_gone(self, fsuuid: str, held: HeldDrive | None) -> None:
        if held is None:
            return
        held.gone()
        self.recreated("drive", fsuuid)
        self._registry.write_again(fsuuid)

    def _drive_changed(self, fsuuid: str, held: HeldDrive | None, obj: Object) -> None:
        try:
            theirs = self._shelf.drive_from(obj)
        except InvalidRequest as error:
            self.nonsense("drive", fsuuid, error)
            if held is not None:
                held.version, held.dirty = obj["metadata"]["resourceVersion"], True
                self._registry.write_again(fsuuid)
            return
        if held is None:
            if self._ledger.is_past(fsuuid) or "deletionTimestamp" in obj["metadata"]:
                return  # what was seen of it before it went, or while it goes, brings no drive back
            theirs.dirty = True
            self._shelf.drives[fsuuid] = theirs
            self.commit(self._ledger.register(theirs.record))
            return
        if odd := crd.odd_epoch(obj):
            self.tell_odd("drive", fsuuid, odd)
        found, extra = theirs.record, self._shelf.missing_free(obj)
        base = self._shelf.accept(theirs)
        self.drive_edited(base, found)
        if extra > 0:
            why = TAKEN.format(extra=extra)
            self._term.events.emit("drive", "edit-refused", fsuuid, node=found.node, capacity=extra, why=why)
        if theirs.dirty:
            self._registry.write_again(fsuuid)

    def drive_edited(self, base: DriveRecord, theirs: DriveRecord) -> None:
        """See :class:`~.notice.Notice`."""
        drive = self._ledger.drives.get(theirs.fsuuid)
        if drive is None or not drive.known:
            return
        self.tell_not_taken("drive", theirs.fsuuid, theirs, drive_with_edit(base, theirs, base), _TOLD_APART)
        record = drive_with_edit(base, theirs, drive.record)
        if theirs.status != base.status and theirs.status in (DriveStatus.REMOVED, DriveStatus.MOVING):
            record = self._asked(drive, theirs.status, record)
        self._take(drive, record)

    def recreated(self, noun: str, name: str) -> None:
        """Tell it, and cordon the drive: whoever deleted the object by force wanted it to go, and a person must decide.

        The deletion itself may not have been seen: watches and writes overtake each other.
        """
        super().recreated(noun, name)
        drive = self._ledger.drives.get(name)
        if drive is not None and drive.known:
            self._take(drive, msgspec.structs.replace(drive.record, unschedulable=True))

    def _take(self, drive: Drive, record: DriveRecord) -> None:
        if record == drive.record:
            return
        self.commit(self._ledger.set_drive(drive, record), lambda: self._drive_again(record.fsuuid))
        self._nodes.worker(record.node).order(update=(record,))
        facts = {"node": record.node, "unschedulable": record.unschedulable, "labels": record.labels}
        log.info("drive edited", extra={"drive": record.fsuuid, **facts})
        self._term.events.emit("drive", "changed", record.fsuuid, by="edit", **facts)

    def _drive_again(self, fsuuid: str) -> None:
        """An edit was not taken in: when nothing is being written, what is held differs from the ledger by it."""

        def now() -> None:
            held, drive = self._shelf.drives.get(fsuuid), self._ledger.drives.get(fsuuid)
            if held is not None and drive is not None:
                self.drive_edited(drive.record, held.record)

        self._registry.lane(fsuuid).when_idle("drive again", now)

    def _asked(self, drive: Drive, status: DriveStatus, record: DriveRecord) -> DriveRecord:
        """Upstream's plugin asks for work by writing a status: say what becomes of it."""
        remove, refused = status is DriveStatus.REMOVED, _not_removable(drive) if status is DriveStatus.REMOVED else ""
        why = (REMOVE_NOT.format(why=refused) if refused else REMOVE) if remove else NO_MOVE
        taken = remove and not refused
        facts = {"node": record.node, "status": status.value, "volumes": len(drive.volumes), "why": why}
        log.warning("status asked for", extra={"drive": record.fsuuid, "taken": taken, **facts})
        self._term.events.emit("drive", "remove-requested" if taken else "edit-refused", record.fsuuid, **facts)
        return msgspec.structs.replace(record, status=status, conditions=()) if taken else record


def _not_removable(drive: Drive) -> str:
    """Return why a drive may not be given up; empty if it may."""
    try:
        retiring.check_removable(drive)
    except DirectPVError as error:
        return error.message
    return ""
