"""The leader's side of one node: hears its heartbeats, takes in its inventories, and lets orders follow."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.bus.service import Unanswered
from directpv_common.process.clock import now_rfc3339
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, Unavailable
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.reserving.retiring import is_not_taken_in
from directpv_controller.core.taking_in.doubt import believed, doubt, doubtful_volumes
from directpv_controller.core.taking_in.outcome import Outcome
from directpv_controller.core.taking_in.parts import Asked, Pages, following
from directpv_controller.core.taking_in.reconcile import change_of, lost, noticed, take_in
from directpv_controller.core.taking_in.told import Told
from directpv_controller.leading.term import Term
from directpv_controller.nodes.orders import NodeOrders, Spawn
from directpv_controller.nodes.pod_labels import PodLabels
from directpv_controller.nodes.releases import Releases

log = logging.getLogger(__name__)

INVENTORY_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 15.0
"""Three heartbeats of an agent."""
DRIVES_AT_ONCE: Final = 32
"""Per request; an agent that knows of pages tells as much as fits into one message."""
VOLUMES_AT_ONCE: Final = 800
"""Volumes per request, about, for agents that do not."""
VOLUMES_GUESSED: Final = 100
"""Volumes on a drive that this leader has not seen yet, at least."""
UNFIT_SECONDS: Final = 30.0
"""After so long a drive that could not be taken in is asked for again."""
PULL_PAUSE: Final = 0.5
"""Seconds between two inventories of a node: each of our own orders changes its drives, and need not be read back."""
_NOT_MISSED: Final = frozenset({m.DriveStatus.LOST, m.DriveStatus.REMOVED})
"""What is said of them already, or decided, says more than that their node does not name them."""
MISSED_AT_MOST: Final = 2
"""Heartbeats in a row without a drive until it is lost: one may have been under way while the drive was registered."""


class NodeWorker(NodeOrders):
    """What is known of one node, and what it must be told."""

    def __init__(
        self, name: str, term: Term, spawn: Spawn, pulls: asyncio.Semaphore, pods: PodLabels | None = None
    ) -> None:
        super().__init__(name, term, spawn)
        self.state: m.NodeState | None = None
        self.seen = time.monotonic()
        """When the last heartbeat came, by the monotonic clock; before the first one: when it was first asked about."""
        self.seen_at = ""
        self.pulling = False
        self._pulls = pulls
        self._pods = pods
        """Takes in pods together with their labels; None: pods have none to read."""
        self._pulled = 0.0
        self._again = False
        self.unfit: dict[str, str] = {}
        """Drives that cannot be taken in, with the reason: nobody waits for them."""
        self._doubted = ""
        """Why not all of a heartbeat was believed, as it was told last."""
        self._told = Told()
        self.releases = Releases(name, term, spawn)
        self._conflicts: dict[str, int] = {}
        """Drives that belong to another node, with the generation at which that was told."""

    @property
    def silent(self) -> bool:
        """Whether the node has not been heard in this term, or not for several heartbeats."""
        return self.state is None or time.monotonic() - self.seen > SILENT_SECONDS

    # ---- what the node says

    def heard(self, state: m.NodeState, when: str) -> None:
        """Take a heartbeat; ask for what differs."""
        state, why = believed(state)
        self._tell_doubt(why)
        last = self.state
        if last is not None and last.boot == state.boot and state.sequence < last.sequence:
            return
        if last is None or last.boot != state.boot:
            self._conflicts.clear()
            self.unfit.clear()
        else:
            state = msgspec.structs.replace(state, boot=last.boot)  # one string for all drives
        self.state, self.seen, self.seen_at = state, time.monotonic(), when
        self._told.keep(state.drives)
        self._look_again()
        self._notice_missing(state)
        self._notice_unwell(state)
        self.releases.heard(state, tuple(self._drives()))
        self.pull()

    def _tell_doubt(self, why: str) -> None:
        if why and why != self._doubted:
            log.warning("heartbeat not believed", extra={"node": self.name, "why": why})
            self._term.events.emit("node", "not-reconciled", self.name, node=self.name, cause=why)
        self._doubted = why

    def pull(self) -> None:
        """Ask for the inventory of drives that differ, unless that is under way."""
        self._again = True
        if not self.pulling and self.state is not None:
            self.pulling = True
            self._spawn(self._pull())

    @property
    def idle(self) -> bool:
        """Whether nothing is under way for the node, or left to be told to it."""
        return not (self.pulling or self._ordering or self._preparing)

    def forget(self) -> None:
        """Messages may have been lost: compare every drive again."""
        for drive in self._drives():
            drive.stale = True

    def _drives(self) -> Iterable[Drive]:
        node = self._ledger.nodes.get(self.name)
        return tuple(node.drives.values()) if node else ()

    def _look_again(self) -> None:
        """Mark drives with which something failed a while ago."""
        now = time.monotonic()
        for fsuuid in [fsuuid for fsuuid, due in self._retries.items() if due <= now]:
            del self._retries[fsuuid]
            drive = self._ledger.drives.get(fsuuid)
            if drive is not None:
                drive.stale = True

    def _notice_missing(self, state: m.NodeState) -> None:
        for drive in self._drives():
            drive.missed = 0 if drive.fsuuid in state.drives else drive.missed + 1
            lives = drive.known and not drive.pending and drive.record.status not in _NOT_MISSED
            if drive.missed >= MISSED_AT_MOST and lives:
                with contextlib.suppress(Unanswered):
                    self._spawn(self._applied(self._commit(drive.fsuuid, lost(self._ledger, drive, now_rfc3339()))))

    def _differs(self, fsuuid: str, generation: int) -> bool:
        drive = self._ledger.drives.get(fsuuid)
        if is_not_taken_in(self._ledger, fsuuid):
            return False
        if drive is None or not drive.known:
            return True
        if drive.record.node != self.name:
            return self._conflicts.get(fsuuid) != generation
        return self.state is None or drive.stale or _is_newer(self.state, generation, drive)

    def _notice_unwell(self, state: m.NodeState) -> None:
        """Take in which drives are unwell, or well again, before what is on them."""
        if state.unwell is None:
            return
        for drive in self._drives():
            if drive.fsuuid not in state.drives or not drive.known or drive.pending:
                continue
            news = drive.stale or _is_newer(state, state.drives[drive.fsuuid], drive)
            told, status = state.unwell.get(drive.fsuuid), drive.record.status
            health = told or m.DriveHealth(status=m.DriveStatus.READY)
            changed = status != health.status or (told is not None and told.conditions != drive.record.conditions)
            if news and changed and m.DriveStatus.REMOVED not in (status, health.status):
                with contextlib.suppress(Unanswered):
                    self._spawn(self._applied(self._commit(drive.fsuuid, noticed(self._ledger, drive, health))))

    def missing(self) -> list[str]:
        """Return which drives that the node has were not taken in by this leader; none if the node is silent."""
        if self.silent or self.state is None:
            return []
        return [fsuuid for fsuuid in self.state.drives if fsuuid not in self.unfit and not self._is_taken_in(fsuuid)]

    def _is_taken_in(self, fsuuid: str) -> bool:
        if is_not_taken_in(self._ledger, fsuuid):
            return True
        drive = self._ledger.drives.get(fsuuid)
        if drive is None or not drive.known or drive.pending:
            return False
        return drive.record.node != self.name or (self.state is not None and drive.boot == self.state.boot)

    # ---- inventories

    async def _pull(self) -> None:
        try:
            while self._again:
                self._again = False
                if self._differing():
                    await asyncio.sleep(max(0.0, self._pulled + PULL_PAUSE - time.monotonic()))
                    self._pulled = time.monotonic()
                for portion in list(self._portions(self._differing())):
                    await self._ask(portion)
        except Unanswered:
            pass
        except Exception:
            log.exception("inventory not taken in", extra={"node": self.name})
        finally:
            self.pulling = False

    def _differing(self) -> list[str]:
        reported = self.state.drives if self.state is not None else {}
        return [fsuuid for fsuuid, generation in reported.items() if self._differs(fsuuid, generation)]

    def _portions(self, fsuuids: list[str]) -> Iterator[tuple[str, ...]]:
        """Split drives so that the inventory of each portion fits into one message."""
        portion: list[str] = []
        size = 0
        for fsuuid in fsuuids:
            drive = self._ledger.drives.get(fsuuid)
            volumes = max(VOLUMES_GUESSED, len(drive.volumes) if drive is not None else 0)
            if portion and (size + volumes > VOLUMES_AT_ONCE or len(portion) >= DRIVES_AT_ONCE):
                yield tuple(portion)
                portion, size = [], 0
            portion.append(fsuuid)
            size += volumes
        if portion:
            yield tuple(portion)

    async def _ask(self, fsuuids: tuple[str, ...]) -> None:
        """Ask for drives, and take in what comes, part by part, until nothing is left."""
        left, after, pages = fsuuids, "", dict[str, Pages]()
        while left:
            try:
                inventory = await self._inventory(m.GetInventory(drives=left, after=after, paged=True))
            except Unavailable as error:
                log.info("no inventory", extra={"node": self.name, "error": error.message})
                return
            except DirectPVError as error:
                await self._no_inventory(left, error)
                return
            await self._take_in(inventory, pages)
            now, then = Asked(left, after), following(inventory)
            if not then.is_further(now):
                self._is_unfit(then.drives[0], "its node does not come to an end of telling what is on it")
                return
            left, after = then.drives, then.after

    async def _inventory(self, request: m.GetInventory) -> m.Inventory:
        async with self._pulls:
            return await self._term.bus.call(
                Node.INVENTORY_GET, request, node=self.name, within=INVENTORY_SECONDS, patient=False
            )

    async def _no_inventory(self, fsuuids: tuple[str, ...], error: DirectPVError) -> None:
        """Several drives could not be told of: ask for each alone, so that one of them is no other's business."""
        log.warning("no inventory", extra={"node": self.name, "drives": fsuuids[:10], "error": error.message})
        if len(fsuuids) > 1:
            for fsuuid in fsuuids:
                await self._ask((fsuuid,))
        elif not isinstance(error, DeadlineExceeded):
            self._is_unfit(fsuuids[0], error.message)

    def _is_unfit(self, fsuuid: str, why: str) -> None:
        """Note and tell, once per reason, that a drive cannot be taken in; it is tried again."""
        if self.unfit.get(fsuuid) != why:
            self.unfit[fsuuid] = why
            self._term.events.emit("drive", "not-reconciled", fsuuid, node=self.name, cause=why)
        self._retries[fsuuid] = time.monotonic() + UNFIT_SECONDS

    async def _take_in(self, inventory: m.Inventory, pages: dict[str, Pages] | None = None) -> None:
        """Take in what a node told of its drives; ``pages`` are what it told of them before."""
        state, pages = self.state, {} if pages is None else pages
        if state is None or inventory.info.name != self.name or inventory.boot != state.boot:
            log.info("inventory ignored", extra={"node": self.name, "boot": inventory.boot})
            return
        self._term.require_lead()
        commits = []
        for held in inventory.drives:
            if why := doubt(held.record):
                self._is_unfit(held.record.fsuuid, why)
            else:
                self.unfit.pop(held.record.fsuuid, None)
                commits.append(self._taken_in(held, state.boot, pages.setdefault(held.record.fsuuid, Pages())))
        await self._apply(commits)

    def _taken_in(self, held: m.HeldDrive, boot: str, pages: Pages) -> "_Commit":
        if doubtful := doubtful_volumes(held):
            believed = tuple(found for found in held.volumes if found.record.name not in doubtful)
            held = msgspec.structs.replace(held, volumes=believed)
            pages.present.update(doubtful)
        outcome = take_in(
            self._ledger,
            self.name,
            boot,
            held,
            pages=pages,
            cordon_predicted=self._term.cordon_predicted,
            read_pods=self._pods is not None,
        )
        for name, why in doubtful.items():
            outcome.tell("volume", "not-reconciled", name, drive=held.record.fsuuid, cause=why)
        whole = pages.is_whole(held)
        outcome.events = self._told.news(held.record.fsuuid, outcome.events, pages.found, whole=whole)
        commit = self._commit(held.record.fsuuid, outcome)
        if self._pods is not None:
            self._pods.take_in(outcome.pods, self)
            self._pods.keep(outcome.unkept, self)
        drive = self._ledger.drives.get(held.record.fsuuid)
        if drive is None:
            return commit  # it was given up
        if drive.record.node != self.name:
            self._conflicts[drive.fsuuid] = held.generation
        elif outcome.unsettled:
            self.later(drive.fsuuid)
        return commit

    def _commit(self, fsuuid: str, outcome: Outcome) -> "_Commit":
        """Queue what was decided about one drive: in the same step, for the order of commits is that of decisions."""
        return _Commit(fsuuid, outcome, self._term.commit(change_of(self._ledger, [outcome])))

    async def _apply(self, commits: "list[_Commit]") -> None:
        """Wait for each drive's commit, then tell and order; one that fails is no other drive's business."""
        await asyncio.gather(*(self._applied(commit) for commit in commits))

    async def _applied(self, commit: "_Commit") -> None:
        outcome = commit.outcome
        try:
            await commit.durable
        except Unanswered:
            return
        except DirectPVError as error:
            log.warning(
                "drive not recorded; it is asked for again",
                extra={"node": self.name, "drive": commit.fsuuid, "error": error.message},
            )
            self.later(commit.fsuuid)
            self._told.forget(commit.fsuuid)
            return
        for event in outcome.events:
            log.info("reconciled", extra={"what": f"{event.noun}.{event.kind}", "id": event.subject, **event.data})
            self._term.events.emit(event.noun, event.kind, event.subject, **{"node": self.name, **event.data})
        self.order(prepare=outcome.prepare, update=outcome.update, remove=outcome.remove)
        for left in outcome.left:
            self._spawn(self.remove_left(left.record, left.move, left.target))
        for sealed in outcome.unseal:
            self._spawn(self.unseal(sealed.record, sealed.move, sealed.target))
        pods_come = {record.name for record in outcome.pods}
        self._term.show(record for record in outcome.used if record.name not in pods_come)


def _is_newer(state: m.NodeState, generation: int, drive: Drive) -> bool:
    """Tell whether a heartbeat speaks of a generation of the drive that was not taken in."""
    return drive.boot != state.boot or generation > drive.generation


class _Commit(NamedTuple):
    """What was taken in of one drive, and what waits for it to be durable."""

    fsuuid: str
    outcome: Outcome
    durable: Awaitable[None]
