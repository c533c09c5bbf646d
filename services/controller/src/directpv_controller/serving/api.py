"""The controller's API: one handler per row of ``directpv_common.protocol.api.Controller``, served by the leader alone.

Every handler that changes something runs in a task of its own, one per volume or drive at a time: a caller that goes
away leaves no half-done work, and a repeat of a running call joins it. A reply is sent only after the commit, and only
while this process certainly leads.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeVar

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Handler, Handlers, Unanswered
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.calls.turns import in_turns
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.api import Controller, Endpoint
from directpv_common.protocol.errors import (
    MOUNTED,
    NOT_MOUNTED,
    DeadlineExceeded,
    DirectPVError,
    FailedPrecondition,
    NoCapacity,
)
from directpv_controller.core.placing.model import Volume
from directpv_controller.core.placing.wanted import Need, Wanted, wanted_from
from directpv_controller.core.showing import health, listing
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.serving.changes import Changes
from directpv_controller.serving.formats import Formats
from directpv_controller.serving.metrics import Figures
from directpv_controller.serving.moves import Moves
from directpv_controller.serving.pace import Pace
from directpv_controller.serving.refusals import Refusals
from directpv_controller.serving.rehoming import Rehoming
from directpv_controller.serving.removals import Removals
from directpv_controller.serving.repairs import Repairs

log = logging.getLogger(__name__)
R = TypeVar("R")

REMOVE_SECONDS: Final = 3.0
"""How long a delete waits for the node; after that it is acknowledged, and finished in the background."""


class Api:
    """Answers for one term of leadership."""

    def __init__(self, term: Term, nodes: Nodes, figures: Figures) -> None:
        self._term = term
        self._ledger = term.ledger
        self._nodes = nodes
        self._figures = figures
        self._flights: SingleFlight[Any] = SingleFlight()
        self._slice = asyncio.Lock()
        """One slice of one view in each turn of the loop, however many wait for views."""
        self._pace = Pace()
        self._refusals = Refusals(term.events)
        self._changes = Changes(term, nodes, self._flights)
        self._rehoming = Rehoming(term, nodes, self._flights)
        self._repairs = Repairs(term, nodes, self._flights)
        self._removals = Removals(term, nodes, self._flights)
        self.moves = Moves(term, nodes, self._flights)
        self.init_devices = Formats(term, nodes, self._flights).init

    def handlers(self) -> Handlers:
        """Return what to serve."""
        table: dict[Endpoint[Any, Any], Handler] = {
            Controller.VOLUME_CREATE: self.create_volume,
            Controller.VOLUME_DELETE: self.delete_volume,
            Controller.VOLUME_EXPAND: self.expand_volume,
            Controller.VOLUME_CHANGE: self._changes.volume,
            Controller.VOLUME_MOVE: self.moves.move,
            Controller.MOVE_LIST: self.moves.list,
            Controller.VOLUME_GET: self.get_volume,
            Controller.VOLUME_LIST: self.list_volumes,
            Controller.VOLUME_HEALTH: self.volume_health,
            Controller.VOLUME_HEALTH_LIST: self.list_volume_health,
            Controller.CAPACITY_GET: self.get_capacity,
            Controller.DRIVE_LIST: self.list_drives,
            Controller.DRIVE_CHANGE: self._changes.drive,
            Controller.DRIVE_INIT: self.init_devices,
            Controller.DRIVE_REMOVE: self._removals.remove,
            Controller.DRIVE_MOVE_NODE: self._rehoming.move,
            Controller.DRIVE_REPAIR: self._repairs.begin,
            Controller.DRIVE_REPAIR_STATUS: self._repairs.status,
            Controller.DRIVE_LOCATE: self._repairs.locate,
            Controller.PLACEMENT_EXPLAIN: self.explain_placement,
            Controller.NODE_REMOVE: self._removals.remove_node,
            Controller.NODE_LIST: self.list_nodes,
        }
        return {endpoint: self._guarded(endpoint, handler) for endpoint, handler in table.items()}

    def _guarded(self, endpoint: Endpoint[Any, Any], handler: Handler) -> Handler:
        """Answer only while leading, and count how it went."""

        async def guarded(request: Any) -> object:
            outcome = "OK"
            try:
                self._term.require_lead()
                reply = await handler(request)
                self._term.require_lead()
            except Unanswered:
                outcome = "Unanswered"
                raise
            except DirectPVError as error:
                outcome = error.reason
                if isinstance(error, NoCapacity):
                    self._figures.refusals.labels(error.details.get("reason", "")).inc()
                self._term.require_lead()
                raise
            except Exception:
                outcome = "Internal"
                raise
            finally:
                self._figures.requests.labels(endpoint.name, outcome).inc()
            return reply

        return guarded

    async def resume(self) -> None:
        """End what an earlier leader had begun, and nobody else reminds us of."""
        await self._removals.resume()

    async def drain(self) -> None:
        """Wait until nothing runs any more."""
        await self._flights.drain()

    async def _one_at_a_time(self, name: str, request: object, work: Callable[[], Awaitable[R]]) -> R:
        result: R = await self._flights.run(f"volume {name}", request, work)
        return result

    # ---- volumes

    async def create_volume(self, request: m.CreateVolume) -> m.VolumeInfo:
        """Place a volume. Source: CSI CreateVolume."""
        wanted = wanted_from(request)
        return await self._one_at_a_time(request.name, request, lambda: self._create(wanted))

    async def _create(self, wanted: Wanted) -> m.VolumeInfo:
        if wanted.name not in self._ledger.volumes:
            await self._nodes.reported()
        await self._viewed(self._ledger.index.needs(wanted))
        await self._pace.wait()
        await self._term.idle(wanted.name)
        try:
            volume, change = self._ledger.place(wanted, now=now_rfc3339(), incarnation=secrets.token_hex(8))
        except NoCapacity as error:
            self._refusals.tell(wanted, error)
            raise
        self._refusals.forget(wanted.name)
        await self._term.commit(change)
        record = volume.record
        info = listing.volume_info(self._ledger, volume)
        if change is not None:
            self._nodes.worker(info.node).order(prepare=(record,))
            self._term.events.emit(
                "volume", "created", record.name, node=info.node, drive=record.fsuuid, capacity=record.capacity
            )
        return info

    async def delete_volume(self, request: m.VolumeId) -> m.Done:
        """Delete a volume; one that does not exist is deleted already. Source: CSI DeleteVolume."""
        return await self._one_at_a_time(request.name, request, lambda: self._delete(request.name))

    async def _delete(self, name: str) -> m.Done:
        if name not in self._ledger.volumes:
            await self._nodes.reported()
        await self._term.idle(name)
        volume = self._ledger.volumes.get(name)
        if volume is None:
            self._ledger.require_readable(name)
            self._ledger.require_read(name)
            return m.Done()
        self._ledger.require_idle(name)
        await self.moves.make_way(volume)
        if not volume.record.deleting:
            await self._term.commit(self._ledger.mark(volume, deleting=True))
        worker = self._nodes.worker(self._ledger.drives[volume.record.fsuuid].record.node)
        try:
            await worker.purge(volume.record, within=REMOVE_SECONDS)
        except FailedPrecondition:
            await self._unmark(volume)
            raise
        except DirectPVError as error:
            await self._acknowledge_unless_used(volume, error)
        return m.Done()

    async def _acknowledge_unless_used(self, volume: Volume, error: DirectPVError) -> None:
        """The node did not say what it did; refuse if the volume was mounted when it was last heard of.

        A node that cannot reach the drive still knows whether the volume is mounted: after its boot nothing is.

        An order that was not answered in time may be carried out yet: the mark stays then, whatever is refused.
        """
        name, node = volume.record.name, self._ledger.drives[volume.record.fsuuid].record.node
        if volume.use is not None and volume.use.staged and error.details.get(MOUNTED) != NOT_MOUNTED:
            if isinstance(error, DeadlineExceeded):
                self._nodes.worker(node).later(volume.record.fsuuid)
                raise DeadlineExceeded(
                    f"node {node} has not said yet whether it could destroy volume {name}, and may be at it; repeat"
                ) from error
            await self._unmark(volume)
            raise FailedPrecondition(
                f"volume {name} is staged on node {node}, which cannot be asked ({error.message}); unstage it first"
            ) from error
        log.info("volume deleted; its node frees the space later", extra={"volume": name, "error": error.message})
        self._nodes.worker(node).later(volume.record.fsuuid)

    async def _unmark(self, volume: Volume) -> None:
        """Take the mark back, so that the volume is shown and can be used."""
        if self._ledger.volumes.get(volume.record.name) is volume and not volume.destroyed:
            self._ledger.require_idle(volume.record.name)
            await self._term.commit(self._ledger.mark(volume, deleting=False))

    async def expand_volume(self, request: m.ExpandVolume) -> m.VolumeExpanded:
        """Reserve a larger size. Source: CSI ControllerExpandVolume."""
        return await self._one_at_a_time(request.name, request, lambda: self._expand(request))

    async def _expand(self, request: m.ExpandVolume) -> m.VolumeExpanded:
        await self._term.idle(request.name)
        capacity, change = self._ledger.expand(request)
        await self._term.commit(change)
        volume = self._ledger.volume(request.name)
        if change is not None:
            node = self._ledger.drives[volume.record.fsuuid].record.node
            self._nodes.worker(node).order(prepare=(volume.record,))
            self._term.events.emit("volume", "expanded", request.name, node=node, capacity=capacity)
        return m.VolumeExpanded(capacity=capacity, node_expansion_required=volume.seen < capacity)

    async def get_volume(self, request: m.VolumeId) -> m.VolumeInfo:
        """Return one volume."""
        return listing.volume_info(self._ledger, self._ledger.volume(request.name))

    async def list_volumes(self, request: m.ListVolumes) -> m.VolumePage:
        """Return one page of volumes."""
        return listing.list_volumes(self._ledger, request)

    async def volume_health(self, request: m.GetVolumeHealth) -> m.VolumeHealth:
        """Return what is wrong with one volume."""
        await self._nodes.reported()
        return health.volume_health(self._ledger, request)

    async def list_volume_health(self, request: m.ListVolumeHealth) -> m.VolumeHealthPage:
        """Return one page of volumes that are not well."""
        await self._nodes.reported()
        return health.list_volume_health(self._ledger, request)

    async def get_capacity(self, request: m.GetCapacity) -> m.Capacity:
        """Return the free space for volumes with these parameters."""
        await self._nodes.reported()
        await self._viewed({listing.need_of(request)})
        return listing.capacity(self._ledger, request)

    async def explain_placement(self, request: m.ExplainPlacement) -> m.Placement:
        """Return what would become of a volume, and why; nothing is placed."""
        await self._nodes.reported()
        await self._viewed(self._ledger.index.needs(wanted_from(request)))
        return await in_turns(listing.placement(self._ledger, request))

    async def _viewed(self, needs: Collection[Need]) -> None:
        """Have the index make what it needs to answer; others get their turn meanwhile, and likewise."""
        index = self._ledger.index
        for view in index.unready(needs):
            async with self._slice:
                index.advance(view)
                await asyncio.sleep(0)

    # ---- drives and nodes

    async def list_drives(self, request: m.ListDrives) -> m.DrivePage:
        """Return one page of drives."""
        return listing.list_drives(self._ledger, request)

    async def list_nodes(self, request: m.ListNodes) -> m.NodePage:
        """Return one page of nodes."""
        return self._nodes.page(request)
