"""Which drive gets a volume: the best one is found without looking at the others, whatever the cluster's shape.

A term that names a node goes down that node's drives, which are kept in order. Everything else is answered by a *view*:
the drives that meet one :class:`Need`, ordered by free space. A view is made when it is first needed, in slices between
which the caller may let others have their turn, and then kept in step with each reservation.
"""

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from directpv_common.protocol import names
from directpv_common.protocol.messages import Segments
from directpv_controller.core.placing.company import Choice, Chooser, shares_project
from directpv_controller.core.placing.model import Drive, Node, label_of, pairs_of
from directpv_controller.core.placing.reach import in_reach
from directpv_controller.core.placing.views import Key, View
from directpv_controller.core.placing.wanted import Need, Pairs, Wanted, pairs
from directpv_controller.core.placing.whereabouts import Whereabouts, node_in

Chance = Callable[[], float]

VIEWS_PER_DRIVE: Final = 64
"""How many views a drive is in, on average: each costs it some bytes, and each reservation an addition."""
FEW_DRIVES: Final = 1_000
"""With fewer drives, views are kept as if there were so many."""
SLICE: Final = 500
"""Drives that are looked at before others get their turn: less than a millisecond."""
SKIP_AT_MOST: Final = 64
"""So many drives may hold a claim before the claim gets a view of its own, if they stand in the way."""
FEW_TERMS: Final = 16
"""Nodes that are tried one by one; with more, all drives are gone down and those elsewhere are skipped."""
ELSEWHERE_AT_MOST: Final = 256


class Index:
    """Finds drives; shares the ledger's own dictionaries."""

    def __init__(self, drives: Mapping[str, Drive], nodes: Mapping[str, Node], chance: Chance) -> None:
        self._drives = drives
        self._nodes = nodes
        self._chance = chance
        self._views: OrderedDict[Need, View] = OrderedDict()
        self._filed: dict[tuple[str, str] | None, list[View]] = {}
        """Views by the pair that a drive must have to be in them."""
        self._whereabouts = Whereabouts(drives, nodes)
        self.claims: Counter[str] = Counter()
        """Volumes per claim id."""

    # ---- kept in step by the ledger

    def key_of(self, drive: Drive) -> Key:
        """Return a new key; a fresh random number makes ties fair."""
        return (-drive.free, self._chance(), drive.record.fsuuid)

    def resized(self, drive: Drive) -> None:
        """Follow a drive whose free space changed, and nothing else."""
        old, new = drive.key, self.key_of(drive)
        drive.key = new
        self._reorder(drive, old, listed=drive.listed)
        for at, view in enumerate(drive.views):
            if view.alive:
                drive.tops[at] = view.follow(old, new, drive.tops[at])
                self._trim(view)

    def changed(self, drive: Drive) -> None:
        """Follow a drive of which anything else may have changed; its node is where it is now."""
        old, drive.key = drive.key, self.key_of(drive)
        self._reorder(drive, old, listed=drive.open)
        self._whereabouts.follow(drive)
        before = {id(view): (view, top) for view, top in zip(drive.views, drive.tops, strict=True) if view.alive}
        drive.views, drive.tops = [], []
        wanted = [view for view in self._views_of(drive) if meets(drive, view.need)] if drive.listed else []
        for view in wanted:
            if (held := before.pop(id(view), None)) is None:
                view.enter(drive)
            else:
                drive.views.append(view)
                drive.tops.append(view.follow(old, drive.key, held[1]))
        for view, _ in before.values():
            view.leave(old)
        for view in wanted:
            self._trim(view)

    def removed(self, drive: Drive) -> None:
        """Forget a drive, or one that is about to change its node."""
        self._reorder(drive, drive.key, listed=False)
        self._whereabouts.forget(drive)
        for view in drive.views:
            if view.alive:
                view.leave(drive.key)
        drive.views, drive.tops = [], []

    def _reorder(self, drive: Drive, old: Key, *, listed: bool) -> None:
        order = self._nodes[drive.record.node].order
        if drive.listed:
            del order[bisect_left(order, old)]
        if listed:
            insort(order, drive.key)
        drive.listed = listed

    # ---- questions

    def select(self, wanted: Wanted) -> Drive | None:
        """Return the drive for a new volume, or None if no drive can hold it.

        Some preferred terms are tried in order; then the others compete, then all requisite terms, and the drive with
        most free space wins.

        Source: CSI CreateVolume, TopologyRequirement: terms are alternatives. With Immediate binding, the official
        provisioner names every node of the cluster in both lists.
        """
        chooser = Chooser(wanted.groups)
        if not wanted.preferred and not wanted.requisite:
            return self._best(wanted, frozenset(), chooser)
        if self._hopeless(wanted):
            return None
        for term in wanted.preferred[:FEW_TERMS]:
            drive = self._best(wanted, pairs(term), chooser)
            if drive is not None:
                return drive
        others = self._best_of(wanted, wanted.preferred[FEW_TERMS:], chooser)
        return others or self._best_of(wanted, wanted.requisite, chooser)

    def _best_of(self, wanted: Wanted, terms: tuple[Segments, ...], chooser: Chooser) -> Drive | None:
        """Return the drive with most free space in any of the terms."""
        if len(terms) > FEW_TERMS:
            found, certain = self._anywhere_of(wanted, terms, chooser)
            if certain:
                return found
        competing = (self._best(wanted, pairs(term), chooser) for term in terms if self._whereabouts.may_reach(term))
        return min(
            (drive for drive in competing if drive is not None),
            key=lambda drive: (chooser.company(drive), drive.key),
            default=None,
        )

    def capacity(self, need: Need) -> tuple[int, int]:
        """Return the sum of free bytes on drives that meet ``need``, and the most on one of them."""
        name = node_in(need.segments)
        if not name:
            view = self._view(need)
            top = view.top(self._drives)
            return view.free, -top[0] if top else 0
        free = [drive.free for drive in self._on(name) if meets(drive, need)]
        return sum(free), max(free, default=0)

    def candidates(self, term: Segments) -> Iterator[Drive]:
        """Return drives that may lie in a topology term; all that do are among them."""
        return self._whereabouts.candidates(Need(segments=pairs(term)))

    def _hopeless(self, wanted: Wanted) -> bool:
        """Tell quickly that no drive anywhere is large enough: a long list of terms is not worth walking then."""
        if len(wanted.preferred) + len(wanted.requisite) <= FEW_TERMS:
            return False
        top = self._view(self._need(wanted, frozenset())).top(self._drives)
        return top is None or -top[0] < wanted.at_least

    def _best(self, wanted: Wanted, term: Pairs, chooser: Chooser) -> Drive | None:
        need = Need(wanted.need.tier, wanted.need.labels, wanted.need.claim, term)
        name = node_in(term)
        if not name:
            return self._first(wanted, self._need(wanted, term), chooser)
        choice = Choice(chooser)
        for drive in self._on(name):
            if drive.free < wanted.at_least:
                break
            if _takes(drive, wanted) and meets(drive, need) and choice.ends_with(drive):
                break
        return choice.best

    def _on(self, node: str) -> Iterator[Drive]:
        """Return the open drives of a node, most free bytes first."""
        held = self._nodes.get(node)
        return (self._drives[key[2]] for key in held.order) if held is not None else iter(())

    def _first(
        self, wanted: Wanted, need: Need, chooser: Chooser, also: Callable[[Drive], bool] = lambda _: True
    ) -> Drive | None:
        """Go down one view to a drive that takes ``wanted``: the first one, or one that shares less."""
        choice = Choice(chooser)

        def fits(key: Key) -> bool:
            drive = self._drives[key[2]]
            takes = wanted.need.claim not in drive.claims and also(drive) and _takes(drive, wanted)
            return takes and choice.ends_with(drive)

        self._view(need).first(self._drives, fits, wanted.at_least)
        return choice.best

    def _anywhere_of(self, wanted: Wanted, many: tuple[Segments, ...], chooser: Chooser) -> tuple[Drive | None, bool]:
        """Return the best drive of many nodes, and whether that is certain: few drives elsewhere had to be skipped."""
        terms = {term[names.NODE]: term for term in many if names.NODE in term}
        if len(terms) < len(many):
            return None, False
        skipped = 0

        def fits(drive: Drive) -> bool:
            nonlocal skipped
            term = terms.get(drive.record.node)
            if term is not None and in_reach(drive.record, term.items()):
                return True
            skipped += 1
            return skipped > ELSEWHERE_AT_MOST

        found = self._first(wanted, self._need(wanted, frozenset()), chooser, fits)
        return found, skipped <= ELSEWHERE_AT_MOST

    # ---- views

    def unready(self, needs: Iterable[Need]) -> Iterator[View]:
        """Yield views for ``needs`` that are not complete, one again and again until :meth:`advance` made it so."""
        for need in needs:
            if node_in(need.segments):
                continue
            view = self._find(need)
            while view.rest is not None:
                yield view

    def advance(self, view: View) -> None:
        """Look at one more slice of drives."""
        if view.rest is not None and next(view.rest, view) is view:
            view.rest = None

    def needs(self, wanted: Wanted) -> set[Need]:
        """Return which views :meth:`select` will ask."""
        terms = (*wanted.preferred, *wanted.requisite)
        asked = [pairs(term) for term in terms if names.NODE not in term]
        if not terms or len(terms) > FEW_TERMS:
            asked.append(frozenset())
        return {self._best_need(wanted, term) for term in asked}

    def _best_need(self, wanted: Wanted, term: Pairs) -> Need:
        """Return the need that is asked; the claim gets a view of its own where its drives stand in the way."""
        need, claim = self._need(wanted, term), wanted.need.claim
        if need.claim == claim or self.claims[claim] <= SKIP_AT_MOST:
            return need
        view = self._views.get(need)
        top = view.top(self._drives) if view is not None and view.rest is None else None
        return _with_claim(need, claim) if top is not None and claim in self._drives[top[2]].claims else need

    def _need(self, wanted: Wanted, term: Pairs) -> Need:
        """Return the need whose view is asked: that of the claim, if there is one; else its drives are skipped."""
        shared = Need(wanted.need.tier, wanted.need.labels, "", term)
        own = _with_claim(shared, wanted.need.claim)
        return own if own in self._views else shared

    def _view(self, need: Need) -> View:
        """Return a view that is complete."""
        view = self._find(need)
        while view.rest is not None:
            self.advance(view)
        return view

    def _find(self, need: Need) -> View:
        view = self._views.get(need)
        if view is not None:
            self._views.move_to_end(need)
            return view
        view = self._views[need] = View(need)
        self._filed.setdefault(_pair_of(need), []).append(view)
        view.rest = self._fill(view)
        self._make_room()
        return view

    def _fill(self, view: View) -> Iterator[None]:
        for count, drive in enumerate(self._whereabouts.slowly(view.need)):
            if count % SLICE == 0 and count:
                yield
            if drive.listed and meets(drive, view.need) and view not in drive.views:
                _forget_dropped(drive)
                view.enter(drive)

    def _make_room(self) -> None:
        """Drop views that were not asked for longest, so that drives are not in too many."""
        most = VIEWS_PER_DRIVE * max(FEW_DRIVES, len(self._drives))
        members = sum(view.members for view in self._views.values())
        while len(self._views) > 1 and (members > most or len(self._views) > most // FEW_DRIVES):
            oldest = next(iter(self._views.values()))
            members -= oldest.members
            self._drop(oldest)

    def _drop(self, view: View) -> None:
        del self._views[view.need]
        self._filed[_pair_of(view.need)].remove(view)
        view.drop()

    def _trim(self, view: View) -> None:
        if view.bloated:
            self._drop(view)

    def _views_of(self, drive: Drive) -> Iterator[View]:
        """Return the views that a drive may be in."""
        filed = self._filed
        yield from filed.get(None, ())
        if len(filed) > (None in filed):
            for pair in pairs_of(drive.record):
                yield from filed.get(pair, ())

    def largest(self, wanted: Wanted, term: Segments) -> int:
        """Return the most free bytes on one drive of a term without node that meets the need, project ids apart."""
        claim = wanted.need.claim

        def free_of_claim(key: Key) -> bool:
            return claim not in self._drives[key[2]].claims

        top = self._view(self._need(wanted, pairs(term))).first(self._drives, free_of_claim, 1)
        return -top[0] if top else 0

    def views(self) -> Iterator[View]:
        """Return the views that are kept, for checks."""
        return iter(self._views.values())


def meets(drive: Drive, need: Need) -> bool:
    """Tell whether ``drive`` is of the kind that ``need`` asks for; sizes and health are no part of it."""
    record = drive.record
    return (
        (need.tier is None or need.tier is record.access_tier)
        and (not need.labels or all(label_of(record, key) == value for key, value in need.labels))
        and (not need.segments or in_reach(record, need.segments))
        and need.claim not in drive.claims
    )


def _takes(drive: Drive, wanted: Wanted) -> bool:
    return drive.free >= wanted.at_least and not shares_project(drive, wanted.project)


def _pair_of(need: Need) -> tuple[str, str] | None:
    """Return a pair that every drive of the view has, labels first: they are the rarer ones."""
    return min(need.labels or need.segments, default=None)


def _with_claim(need: Need, claim: str) -> Need:
    return Need(need.tier, need.labels, claim, need.segments)


def _forget_dropped(drive: Drive) -> None:
    for view in drive.views:
        if not view.alive:
            kept = [(view, top) for view, top in zip(drive.views, drive.tops, strict=True) if view.alive]
            drive.views, drive.tops = [view for view, _ in kept], [top for _, top in kept]
            return
