"""The registry in upstream's custom resources: one update per drive and one write per volume, drives side by side.

All or nothing cannot hold over several objects. A commit of one volume, or of one drive, either holds as a whole or
leaves only what the next leader puts right (see :mod:`.lane`). A commit over several drives that fails in
part ends the term, so that memory is read anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from directpv_common import crd
from directpv_common.calls.context import detached
from directpv_common.crd import Object
from directpv_common.protocol.errors import Fenced, Unavailable
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.core.placing.model import Snapshot, Writes
from directpv_controller.core.reserving.sharing import Shared
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.apiserver.client import Client
from directpv_controller.registry.kubernetes.election import REBUILT, KubernetesElection, KubernetesLease
from directpv_controller.registry.kubernetes.keeping import unreserved
from directpv_controller.registry.kubernetes.keeping.group import Entry
from directpv_controller.registry.kubernetes.keeping.lane import Lane
from directpv_controller.registry.kubernetes.keeping.notice import Noticed
from directpv_controller.registry.kubernetes.keeping.shelf import VOLUMES, Shelf
from directpv_controller.registry.kubernetes.keeping.writer import Writer
from directpv_controller.registry.kubernetes.retired import GivenUp

log = logging.getLogger(__name__)

ENDED: Final = "the registry was closed"
AGAIN_SECONDS: Final = 5.0


class KubernetesRegistry:
    """See :class:`~directpv_controller.leading.port.Registry`."""

    def __init__(
        self,
        client: Client,
        election: KubernetesElection,
        given_up: GivenUp,
        registry: str,
        observe: Callable[[int, float], None],
        count_conflict: Callable[[str], None],
    ) -> None:
        """Describe the registry ``registry``, which is read when somebody leads."""
        self.id = registry
        self.client = client
        self.shelf = Shelf()
        self.noticed = Noticed()
        self._election, self._observe = election, observe
        self._given_up = given_up
        self._writer = Writer(client, count_conflict)
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def lease(self) -> KubernetesLease:
        """The lease of this term.

        Raises:
            Fenced: Nobody of this process was elected.
        """
        if self._election.lease is None:
            raise Fenced("this process was not elected")
        return self._election.lease

    async def load(self) -> Snapshot:
        """Read everything; see :class:`~directpv_controller.leading.port.Registry`.

        Raises:
            Unavailable: The API server does not answer.
            Fenced: Somebody else leads.
        """
        shelf = Shelf()
        await shelf.load(self.client)
        try:
            await self.lease.outrun(shelf.epoch)
        except Fenced as error:
            raise Unavailable(error.message) from error
        await unreserved.withdraw(shelf, self.client, self._writer, self.lease)
        self.shelf, self._lanes = shelf, {}
        shared = Shared()
        for drive in shelf.drives.values():
            shared.drive(drive.record)
        for volume in shelf.volumes.values():
            shared.volume(volume.record)
        shown = ((name, crd.shown_use(held.rest)) for name, held in shelf.volumes.items())
        return Snapshot(
            drives=[held.record for held in shelf.drives.values()],
            volumes=[held.record for held in shelf.volumes.values()],
            uses={name: use for name, use in shown if use is not None},
            unreadable=list(shelf.skipped.values()),
            retired=await self._given_up.drives.load(),
            nodes=await self._given_up.nodes.load(),
        )

    async def rebuilding(self) -> bool:
        """Tell whether nodes have not yet had the time to report their drives to this registry."""
        return self.lease.annotations.get(REBUILT) != self.id

    async def rebuilt(self, lease: KubernetesLease) -> None:
        """Note that they had."""
        await lease.note(REBUILT, self.id)

    # ---- writing

    def commit(self, writes: Writes, lease: KubernetesLease) -> Awaitable[None]:
        """Queue ``writes`` at once, and return what waits for them to be durable."""
        parts: dict[str, Entry] = {}
        for drive in writes.drives:
            self._part(parts, drive.fsuuid, lease).drive = drive
        for volume in writes.volumes:
            part = self._part(parts, volume.fsuuid, lease)
            part.puts[volume.name], part.placed = volume, writes.placed
            self._show_left(volume, part)
        for volume in writes.removed:
            self._part(parts, volume.fsuuid, lease).removed[volume.name] = volume
        for drive in writes.gone:
            self._part(parts, drive.fsuuid, lease).gone = True
        if writes.retired or writes.settled or writes.nodes:
            return asyncio.ensure_future(self._remembered(writes, parts))
        return self._written_in(parts)

    async def _remembered(self, writes: Writes, parts: dict[str, Entry]) -> None:
        """Remember which drives are retired before their objects go: a disk that comes back must not be a new one.

        What is remembered goes last: of a drive that is wanted back, it says which volumes are still to be deleted.
        """
        if writes.retired:
            await self._given_up.drives.change(writes.retired, ())
        if parts:
            await self._written_in(parts)
        if writes.settled:
            await self._given_up.drives.change((), writes.settled)
        if writes.nodes:
            kept = tuple(each for each in writes.nodes if each.since)
            await self._given_up.nodes.change(kept, tuple(each for each in writes.nodes if not each.since))

    def _written_in(self, parts: dict[str, Entry]) -> Awaitable[None]:
        for fsuuid, entry in parts.items():
            self._queue(fsuuid, entry)
        futures = [entry.future for entry in parts.values()]
        return futures[0] if len(futures) == 1 else asyncio.ensure_future(_all(futures))

    def _show_left(self, volume: VolumeRecord, part: Entry) -> None:
        """Once a volume is written that was on another drive, let that one's object show it no more, soon.

        A crash before that leaves a reservation without volume, which the next load gives back.
        """
        held = self.shelf.volumes.get(volume.name)
        if held is not None and (left := held.record.fsuuid) != volume.fsuuid:
            part.future.add_done_callback(lambda _: None if self._closed else self.write_again(left))

    @staticmethod
    def _part(parts: dict[str, Entry], fsuuid: str, lease: KubernetesLease) -> Entry:
        if fsuuid not in parts:
            parts[fsuuid] = Entry(lease, asyncio.get_running_loop().create_future())
        return parts[fsuuid]

    def write_again(self, fsuuid: str, volumes: Iterable[str] = ()) -> None:
        """Write a drive that is marked dirty, and volumes, as they should be, soon; nobody waits.

        It is tried until it is done, or the term is over: an object that is missing would be missed at the next load.
        """
        lease, names = self.lease, frozenset(volumes)
        entry = Entry(lease, asyncio.get_running_loop().create_future())
        entry.future.add_done_callback(lambda future: self._written(future, lease, fsuuid, names))
        entry.again.update(names)
        self._queue(fsuuid, entry)

    def _written(
        self, future: "asyncio.Future[None]", lease: KubernetesLease, fsuuid: str, volumes: frozenset[str]
    ) -> None:
        error = None if future.cancelled() else future.exception()
        if error is None or self._closed:
            return
        log.warning("object not written; it is tried again", extra={"drive": fsuuid, "error": str(error)})
        self._spawn(self._write_later(lease, fsuuid, volumes))

    async def _write_later(self, lease: KubernetesLease, fsuuid: str, volumes: frozenset[str]) -> None:
        await asyncio.sleep(AGAIN_SECONDS)
        if lease.valid:
            self.write_again(fsuuid, volumes)

    def show(self, volumes: Iterable[VolumeRecord]) -> None:
        """Write paths and state of volumes as upstream's tools read them, where they are not there yet."""
        for record in volumes:
            held, use = self.shelf.volumes.get(record.name), self.noticed.use_of(record.name)
            if held is not None and use is not None and not crd.shows_use(held.rest, held.record, use):
                self.write_again(record.fsuuid, [record.name])

    async def withdraw(self, obj: Object) -> None:
        """Delete a volume's object that a former leader made too late.

        Raises:
            Unavailable: It is not certain that it is gone.
        """
        meta = obj["metadata"]
        await self._writer.remove(VOLUMES, meta["name"], meta["resourceVersion"], [], self.lease)

    def make_good(self) -> int:
        """Begin to write every object that does not say what it should; return how many drives are among them."""
        dirty = [fsuuid for fsuuid, held in self.shelf.drives.items() if held.dirty]
        for fsuuid in dirty:
            self.write_again(fsuuid)
        for noun, name in self.shelf.odd:
            if noun == "volume" and (volume := self.shelf.volumes.get(name)) is not None:
                self.write_again(volume.record.fsuuid, [name])
        return len(dirty)

    def lane(self, fsuuid: str) -> Lane:
        """Return the lane of a drive."""
        lane = self._lanes.get(fsuuid)
        if lane is None:
            lane = self._lanes[fsuuid] = Lane(fsuuid, self.shelf, self._writer, self.noticed, self._observe)
        return lane

    def _queue(self, fsuuid: str, entry: Entry) -> None:
        if self._closed:
            entry.settle(Unavailable(ENDED))
            return
        lane = self.lane(fsuuid)
        lane.add(entry)
        if not lane.busy:
            lane.busy = True
            self._spawn(lane.run())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=detached())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("writing failed", exc_info=task.exception())

    async def close(self) -> None:
        """End what runs: nothing of this term may be written after it."""
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _all(futures: "list[asyncio.Future[None]]") -> None:
    """Wait for all; a commit that holds in part cannot be taken back."""
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if not failures:
        return
    fenced = next((failure for failure in failures if isinstance(failure, Fenced)), None)
    if fenced is not None:
        raise fenced
    if len(failures) == len(futures):
        raise next((failure for failure in failures if isinstance(failure, OutcomeUnknown)), failures[0])
    raise OutcomeUnknown(f"written in part: {failures[0]}") from failures[0]
