"""Which drive gets a volume: an index in which the best drive is found without looking at the others.

A term that names a node is answered by looking at that node's drives. Everything else is answered by a *view*: the
drives that meet one :class:`Need`, ordered by free space. Views are made when first needed, kept in step with every
reservation, and the least recently used are dropped.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from directpv_common import names
from directpv_controller.core.model import Drive, Node, in_reach, label_of
from directpv_controller.core.views import Key, View
from directpv_controller.core.wanted import Need, Pairs, Wanted

Chance = Callable[[], float]

MAX_VIEWS: Final = 32
"""A reservation updates every view that holds its drive: a few microseconds each."""
SCAN_AT_MOST: Final = 64
"""A node with more drives is served by a view."""
SKIP_AT_MOST: Final = 64
"""So many drives of a view may hold the claim already before the claim gets a view of its own."""


class Index:
    """Finds drives; shares the ledger's own dictionaries."""

    def __init__(self, drives: Mapping[str, Drive], nodes: Mapping[str, Node], chance: Chance) -> None:
        self._drives = drives
        self._nodes = nodes
        self._chance = chance
        self._views: OrderedDict[Need, View] = OrderedDict()

    # ---- kept in step by the ledger

    def key_of(self, drive: Drive) -> Key:
        """Return a new key; a fresh random number makes ties fair."""
        return (-drive.free, self._chance(), drive.record.fsuuid)

    def resized(self, drive: Drive) -> None:
        """Follow a drive whose free space changed, and nothing else."""
        old, drive.key = drive.key, self.key_of(drive)
        for view in drive.views:
            if view.alive:
                view.keys.remove(old)
                view.keys.add(drive.key)
                view.free += old[0] - drive.key[0]

    def changed(self, drive: Drive) -> None:
        """Follow a drive of which anything else may have changed."""
        self.removed(drive)
        drive.key = self.key_of(drive)
        for view in self._views.values():
            if drive.open and meets(drive, view.need):
                view.keys.add(drive.key)
                view.free -= drive.key[0]
                drive.views.append(view)

    def removed(self, drive: Drive) -> None:
        """Forget a drive."""
        for view in drive.views:
            if view.alive:
                view.keys.remove(drive.key)
                view.free += drive.key[0]
        drive.views.clear()

    # ---- questions

    def select(self, wanted: Wanted) -> Drive | None:
        """Return the drive for a new volume, or None if no drive can hold it.

        Preferred terms are tried in order; then all requisite terms compete, and the drive with most free space wins.

        Source: CSI CreateVolume, TopologyRequirement: terms are alternatives.
        """
        if not wanted.preferred and not wanted.requisite:
            return self._best(wanted, frozenset())
        if len(wanted.preferred) + len(wanted.requisite) > SCAN_AT_MOST and self._hopeless(wanted):
            return None
        for term in wanted.preferred:
            drive = self._best(wanted, term)
            if drive is not None:
                return drive
        found = (self._best(wanted, term) for term in wanted.requisite)
        return min((drive for drive in found if drive is not None), key=_by_key, default=None)

    def capacity(self, need: Need) -> tuple[int, int]:
        """Return the sum of free bytes on drives that meet ``need``, and the most on one of them."""
        drives = self._drives_of_node(need.segments)
        if drives is None:
            view = self._view(need)
            return view.free, view.largest
        free = [drive.free for drive in drives if drive.open and meets(drive, need)]
        return sum(free), max(free, default=0)

    def _hopeless(self, wanted: Wanted) -> bool:
        """Tell quickly that no drive anywhere is large enough: a long list of terms is not worth walking then."""
        return self._view(wanted.need).largest < wanted.at_least

    def _best(self, wanted: Wanted, term: Pairs) -> Drive | None:
        need = Need(wanted.need.tier, wanted.need.labels, wanted.need.claim, term)
        drives = self._drives_of_node(term)
        if drives is not None:
            best_first = sorted(drives, key=_by_key)
            return next((d for d in best_first if _takes(d, wanted) and d.open and meets(d, need)), None)
        drive, skipped = self._walk(wanted, Need(need.tier, need.labels, "", term))
        if drive is None and skipped > SKIP_AT_MOST:
            drive, _ = self._walk(wanted, need)
        return drive

    def _walk(self, wanted: Wanted, need: Need) -> tuple[Drive | None, int]:
        """Go down one view to the first drive that takes ``wanted``; give up when too many hold the claim."""
        skipped = 0
        for free, _, fsuuid in self._view(need).keys:
            if -free < wanted.at_least:
                break
            drive = self._drives[fsuuid]
            if wanted.need.claim in drive.claims:
                skipped += 1
                if skipped > SKIP_AT_MOST and not need.claim:
                    break
            elif _takes(drive, wanted):
                return drive, skipped
        return None, skipped

    def _drives_of_node(self, term: Pairs) -> Iterator[Drive] | None:
        """Return the drives to look at one by one, or None if a view is the better way."""
        for key, value in term:
            if key == names.NODE:
                node = self._nodes.get(value)
                if node is None:
                    return iter(())
                return iter(node.drives.values()) if len(node.drives) <= SCAN_AT_MOST else None
        return None

    def _view(self, need: Need) -> View:
        view = self._views.get(need)
        if view is not None:
            self._views.move_to_end(need)
            return view
        if len(self._views) >= MAX_VIEWS:
            _, dropped = self._views.popitem(last=False)
            dropped.alive = False
            dropped.keys.clear()
        return self._make(need)

    def _make(self, need: Need) -> View:
        view = self._views[need] = View(need)
        members = [drive for drive in self._drives.values() if drive.open and meets(drive, need)]
        view.keys.update(drive.key for drive in members)
        view.free = sum(drive.free for drive in members)
        for drive in members:
            drive.views[:] = [other for other in drive.views if other.alive]
            drive.views.append(view)
        return view

    def views(self) -> Iterator[View]:
        """Return the views that are kept, for checks."""
        return iter(self._views.values())


def meets(drive: Drive, need: Need) -> bool:
    """Tell whether ``drive`` is of the kind that ``need`` asks for; sizes and health are no part of it."""
    record = drive.record
    return (
        need.tier in (None, record.access_tier)
        and all(label_of(record, key) == value for key, value in need.labels)
        and in_reach(record, need.segments)
        and need.claim not in drive.claims
    )


def shares_project(drive: Drive, project: int) -> bool:
    """Tell whether a volume of the drive has this XFS project id: two volumes must never share one quota."""
    if drive.projects is None:
        drive.projects = {}
        for name in drive.volumes:
            other = names.project_id(name)
            drive.projects[other] = drive.projects.get(other, 0) + 1
    return project in drive.projects


def _takes(drive: Drive, wanted: Wanted) -> bool:
    return drive.free >= wanted.at_least and not shares_project(drive, wanted.project)


def _by_key(drive: Drive) -> Key:
    return drive.key
