"""What the API server holds of drives and volumes, as far as we know: read once, then kept in step with each write."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from directpv_common import crd
from directpv_common.crd import Object, Reservation, Rest
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_controller.core.editing.edits import drive_with_edit
from directpv_controller.core.placing.model import Unreadable
from directpv_controller.leading.collector import without_collector
from directpv_controller.registry.kubernetes.apiserver.client import Client, Page, Resource

T = TypeVar("T")

API: Final = f"/apis/{names.GROUP}/{names.API_VERSION}"
DRIVES: Final = Resource(f"{API}/{crd.DRIVES.plural}", "drives")
VOLUMES: Final = Resource(f"{API}/{crd.VOLUMES.plural}", "volumes")


class HeldVolume(Struct, gc=False, eq=False):
    """A volume's object."""

    record: VolumeRecord
    rest: Rest
    version: str
    """Resource version; empty: there is no object."""

    def gone(self) -> None:
        """Note that the object was deleted: the next write makes it anew."""
        self.version, self.rest = "", replace(self.rest, held=None)

    @property
    def reservation(self) -> Reservation:
        """What it takes of its drive."""
        return Reservation(self.record.name, self.record.capacity, self.record.claim_id)


class HeldDrive(Struct, gc=False, eq=False):
    """A drive's object."""

    record: DriveRecord
    rest: Rest
    version: str
    dirty: bool = False
    """It does not say what it should: to be written even if nothing changes."""

    def gone(self) -> None:
        """Note that the object was deleted: the next write makes it anew."""
        self.version, self.rest, self.dirty = "", replace(self.rest, held=None), True


class Unreserved(Struct, frozen=True):
    """Volumes that a drive's object does not show, and that do not fit on it with those that it shows."""

    epoch: int
    """In which the drive was written."""
    names: frozenset[str]


class Shelf:
    """Everything that is held."""

    def __init__(self) -> None:
        self.drives: dict[str, HeldDrive] = {}
        self.volumes: dict[str, HeldVolume] = {}
        self.on_drive: dict[str, dict[str, HeldVolume]] = {}
        """Volumes by drive and name."""
        self._writing: dict[str, asyncio.Lock] = {}
        self.versions: dict[str, str] = {}
        """Resource version of the list of each resource: where a watch begins."""
        self.skipped: dict[tuple[str, str], Unreadable] = {}
        """Objects that cannot be understood, by noun and name."""
        self.epoch = 0
        """The latest that any object names, of those that can be a leader's."""
        self.odd: dict[tuple[str, str], str] = {}
        """Volumes and drives with an epoch that is nobody's, by noun and name: to be written again."""
        self.unreserved: dict[str, Unreserved] = {}
        """By drive; see :mod:`.unreserved`."""

    @contextlib.asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[None]:
        """Let one lane at a time write a volume: one that moves has been another lane's."""
        lock = self._writing.get(name) or self._writing.setdefault(name, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock._waiters:
                self._writing.pop(name, None)

    def volumes_of(self, fsuuid: str) -> dict[str, HeldVolume]:
        """Return the volumes of a drive, by name."""
        return self.on_drive.get(fsuuid) or {}

    def put(self, volume: HeldVolume) -> None:
        """Note a volume's object, new or changed."""
        name, fsuuid = volume.record.name, volume.record.fsuuid
        before = self.volumes.get(name)
        if before is not None and before.record.fsuuid != fsuuid:
            self.on_drive[before.record.fsuuid].pop(name, None)
            left = self.drives.get(before.record.fsuuid)
            if left is not None:
                left.dirty = True
        self.volumes[name] = volume
        self.on_drive.setdefault(fsuuid, {})[name] = volume

    def drop(self, name: str) -> None:
        """Note that a volume's object is gone."""
        volume = self.volumes.pop(name, None)
        if volume is not None:
            self.on_drive[volume.record.fsuuid].pop(name, None)

    # ---- loading

    async def load(self, client: Client) -> None:
        """Read everything, a page at a time and in threads: the loop has a lease to renew meanwhile.

        An object that cannot be understood is left out, and told: one mistake of a person must not stop all others.
        The drive itself says what is on it.

        Raises:
            Unavailable: The API server does not answer.
            Missing: The definitions are not installed.
        """
        await self._load(client.pages(VOLUMES), VOLUMES, self._take_volumes)
        await self._load(client.pages(DRIVES), DRIVES, self._take_drives)

    async def _load(self, pages: AsyncIterator[Page], resource: Resource, take: Callable[[list[Object]], None]) -> None:
        async for page in pages:
            if not page.version:
                self._forget(resource)
            else:
                await asyncio.to_thread(_undisturbed, take, page.items)
            self.versions[resource.name] = page.version

    def _forget(self, resource: Resource) -> None:
        noun = "drive" if resource is DRIVES else "volume"
        self.skipped = {key: why for key, why in self.skipped.items() if key[0] != noun}
        self.odd = {key: odd for key, odd in self.odd.items() if key[0] != noun}
        if resource is DRIVES:
            self.drives.clear()
            self.unreserved.clear()
        else:
            self.volumes.clear()
            self.on_drive.clear()

    def _take_volumes(self, items: Iterable[Object]) -> None:
        for obj in items:
            found = self._read("volume", obj, crd.volume_from_object)
            if found is not None:
                self.put(HeldVolume(*found, obj["metadata"]["resourceVersion"]))
                self._note_epoch("volume", found[0].name, obj)

    def _take_drives(self, items: Iterable[Object]) -> None:
        for obj in items:
            held = self._read("drive", obj, self.drive_from)
            if held is not None:
                self.drives[held.record.fsuuid] = held
                self._note_epoch("drive", held.record.fsuuid, obj)
                self._note_unreserved(held, obj)

    def _note_unreserved(self, held: HeldDrive, obj: Object) -> None:
        fsuuid, epoch = held.record.fsuuid, crd.epoch_of(obj)
        if held.dirty and epoch is not None and self.crowded(fsuuid):
            shown = crd.held_volumes(obj)
            names = {name for name in self.volumes_of(fsuuid) if crd.volume_finalizer(name) not in shown}
            self.unreserved[fsuuid] = Unreserved(epoch, frozenset(names))

    def crowded(self, fsuuid: str) -> bool:
        """Tell whether a drive's volumes do not fit on it together."""
        record, reserved = self.drives[fsuuid].record, self.reservations(fsuuid)
        claims = [each.claim for each in reserved if each.claim]
        needed = record.overhead + sum(each.capacity for each in reserved)
        return needed > record.total or len(claims) > len(set(claims))

    def _note_epoch(self, noun: str, name: str, obj: Object) -> None:
        if odd := crd.odd_epoch(obj):
            self.odd[noun, name] = odd
        else:
            self.epoch = max(self.epoch, crd.epoch_of(obj) or 0)

    def drive_from(self, obj: Object) -> HeldDrive:
        """Return the drive of an object, as it looks together with the volumes that are held.

        Raises:
            InvalidRequest: It cannot be understood.
        """
        reserved = self.reservations(obj["metadata"]["name"])
        record, rest = crd.drive_from_object(obj, sizes=sum(each.capacity for each in reserved))
        held = HeldDrive(record, rest, obj["metadata"]["resourceVersion"])
        told = self.tells(obj, crd.drive_to_object(record, reserved, rest=rest))
        held.dirty = not told or bool(crd.odd_epoch(obj))
        return held

    def accept(self, theirs: HeldDrive) -> DriveRecord:
        """Hold a drive as somebody else has written it; return the record that was held before.

        The record that is held then is ours with the decisions of others; what else differs makes the drive dirty.
        """
        held = self.drives.get(theirs.record.fsuuid)
        base = held.record if held is not None else theirs.record
        record = drive_with_edit(base, theirs.record, base)
        theirs.dirty = theirs.dirty or record != theirs.record
        theirs.record = record
        self.drives[record.fsuuid] = theirs
        return base

    def missing_free(self, obj: Object) -> int:
        """Return how many bytes a drive's object has reserved beyond its volumes, by somebody who is not us."""
        wanted = crd.drive_to_object(
            self.drives[obj["metadata"]["name"]].record, self.reservations(obj["metadata"]["name"])
        )
        if crd.held_volumes(obj) != crd.held_volumes(wanted):
            return 0
        return int(wanted["status"]["freeCapacity"]) - int(obj["status"]["freeCapacity"])

    def reservations(self, fsuuid: str) -> list[Reservation]:
        """Return what is reserved on a drive."""
        return [volume.reservation for volume in self.volumes_of(fsuuid).values()]

    @staticmethod
    def tells(obj: Object, wanted: Object) -> bool:
        """Tell whether a drive's object shows volumes and free space as they are; the rest can wait."""
        same_free = obj["status"]["freeCapacity"] == wanted["status"]["freeCapacity"]
        return same_free and crd.held_volumes(obj) == crd.held_volumes(wanted)

    def _read(self, noun: str, obj: Object, read: Callable[[Object], T]) -> T | None:
        try:
            return read(obj)
        except (InvalidRequest, KeyError, TypeError, ValueError) as error:
            skipped = _skipped(noun, obj, str(error))
            self.skipped[noun, skipped.name] = skipped
            return None


def _skipped(noun: str, obj: Object, why: str) -> Unreadable:
    """Return what can be told of an object that cannot be understood: at least its name."""
    name = crd.volume_name(obj) if noun == "volume" else str(obj["metadata"].get("name"))
    status = obj.get("status")
    place = status if isinstance(status, dict) else {}
    fsuuid, capacity = place.get("fsuuid"), place.get("totalCapacity")
    return Unreadable(noun, name, why, str(fsuuid or ""), capacity if isinstance(capacity, int) else 0)


def _undisturbed(take: Callable[[list[Object]], None], items: list[Object]) -> Any:
    with without_collector():
        return take(items)
