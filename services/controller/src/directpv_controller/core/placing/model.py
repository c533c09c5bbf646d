"""What the leader holds in memory, and what a decision says shall be written.

Made for 100,000 drives and 1,000,000 volumes: Structs that the garbage collector need not visit. That is safe because
references form no cycle: drive → volumes → record, drive → views → keys, and nothing points back.
"""

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import Final, cast

from msgspec import Struct

from directpv_common.protocol import names
from directpv_common.protocol.messages import (
    ConditionType,
    DriveRecord,
    DriveStatus,
    GivenUpNode,
    RetiredDrive,
    VolumeRecord,
    VolumeUse,
)
from directpv_controller.core.placing.views import Key, View

NONE: Final = cast(dict[str, int], MappingProxyType({}))
"""Shared by all drives that have none; whoever adds the first makes a table of the drive's own."""
NOT_CONTESTED: Final = cast(dict[str, str], MappingProxyType({}))
"""Likewise, of drives that show no volume which is elsewhere."""
UNKNOWN: Final = -1
"""Generation of a drive whose inventory must be asked for."""


class Volume(Struct, gc=False, eq=False):
    """One volume: its record, and what its node was last seen to do with it."""

    record: VolumeRecord
    use: VolumeUse | None = None
    seen: int = 0
    """Bytes that the drive's own record of the volume says; 0: not seen on the drive by this leader."""
    destroyed: bool = False
    """Its node said that its data is gone: it can only be forgotten any more."""
    refused: str = ""
    """Why its node has not put it in its place, as it said last; empty: it has, or was not asked by this leader."""


class Drive(Struct, gc=False, eq=False):
    """One drive: its record, and what is reserved on it."""

    record: DriveRecord
    key: Key
    allocated: int
    """Overhead of the file system, all volumes, guests and strays; more than ``record.total`` when overcommitted."""
    volumes: dict[str, Volume]
    views: list[View]
    tops: list[Key]
    """Per view the best key that its heap has of the drive."""
    claims: dict[str, int] = NONE
    """Claim id to number of volumes; more than 1 only when such volumes were found on the drive."""
    projects: dict[int, int] | None = None
    """Project id to number of volumes; None until a placement looks at the drive."""
    groups: dict[str, int] | None = None
    """Number of volumes by what they belong to, see :mod:`.spread`; None until a placement asks."""
    strays: int = 0
    """Bytes of volumes found here that the registry says live on another drive, and of copies that no move knows."""
    guests: dict[str, int] = NONE
    """Volumes that live on another drive and take space here while they are moved: name to bytes."""
    contested: dict[str, str] = NOT_CONTESTED
    """Volumes found here that the registry has on another drive, whose id follows; empty: it has none, or another one
    of that name. Not recorded."""
    boot: str = ""
    generation: int = UNKNOWN
    """Up to which what its node tells was taken in, all of it; unknown: never, or not as it is now."""
    stale: bool = False
    """It is to be compared again, whatever its generation; what was taken in of it holds until then."""
    missed: int = 0
    """Heartbeats in a row of the drive's node that did not mention it."""
    pending: bool = False
    """Its registration is not yet committed: takes no volumes."""
    partial: bool = False
    """Some of the volumes on it were not told yet: takes no volumes."""
    known: bool = True
    """False: the registry has volumes of this drive, but not the drive."""
    offline: bool = False
    """Its node is not there: takes no volumes, for nobody knows when they could be used."""
    listed: bool = False
    """The index has it among the open drives of its node."""
    noted: DriveRecord | None = None
    """The record by whose labels and topology the index finds it."""

    @property
    def fsuuid(self) -> str:
        """Id of the drive."""
        return self.record.fsuuid

    @property
    def free(self) -> int:
        """Bytes that new volumes could get; 0 when overcommitted."""
        return max(0, self.record.total - self.allocated)

    @property
    def overcommitted(self) -> bool:
        """More is promised than the drive has; possible only when volumes were found on it, never by placement."""
        return self.allocated > self.record.total

    @property
    def open(self) -> bool:
        """Whether the drive takes new volumes at all."""
        record = self.record
        return (
            record.status is DriveStatus.READY
            and not record.unschedulable
            and not is_suspended(record)
            and not is_full(record)
            and self.known
            and not self.pending
            and not self.partial
            and not self.offline
            and not self.overcommitted
        )


class Node(Struct, gc=False, eq=False):
    """The drives of one node, and sums over them."""

    drives: dict[str, Drive]
    order: list[Key] = []
    """Keys of the drives that are open, sorted."""
    total: int = 0
    allocated: int = 0
    volumes: int = 0
    offline: bool = False
    """It is not there: it was not heard for long, or did not answer when it was called."""


class Totals(Struct, gc=False, eq=False):
    """Sums over everything, for metrics; integers only, so that another thread may read them."""

    drives: dict[str, int]
    """Status to count; every status that is known has an entry."""
    volumes: int = 0
    total: int = 0
    allocated: int = 0


class Writes(Struct, frozen=True, gc=False):
    """What a decision needs the registry to hold, all or nothing.

    ``drives`` and ``volumes`` are put (made or replaced), ``removed`` volumes and drives that are ``gone`` are taken
    away. Every volume names its drive, so a backend that keeps reservations on the drive object can tell which drives
    to update. Drives that are ``retired`` are remembered, before they are gone, until that is ``settled``. Of ``nodes``
    it is remembered that they were given up, unless their ``since`` is empty.
    """

    drives: tuple[DriveRecord, ...] = ()
    volumes: tuple[VolumeRecord, ...] = ()
    removed: tuple[VolumeRecord, ...] = ()
    gone: tuple[DriveRecord, ...] = ()
    retired: tuple[RetiredDrive, ...] = ()
    settled: tuple[RetiredDrive, ...] = ()
    nodes: tuple[GivenUpNode, ...] = ()
    placed: bool = False
    """The volumes have been chosen a drive just now: nothing of them is anywhere, and nobody knows of them."""


class Unreadable(Struct, frozen=True, gc=False):
    """A record of the registry that cannot be understood: what it stands for is there all the same."""

    noun: str
    """``drive`` or ``volume``."""
    name: str
    why: str
    fsuuid: str = ""
    """Drive of a volume, if that much can be read."""
    capacity: int = 0
    """Bytes of a volume, likewise."""


class Snapshot(Struct, frozen=True, gc=False):
    """Everything that a registry holds."""

    drives: list[DriveRecord]
    volumes: list[VolumeRecord]
    uses: dict[str, VolumeUse] = {}
    """Where volumes were last seen mounted, by name; none of those that were not, or if nobody noted it."""
    unreadable: list[Unreadable] = []
    retired: list[RetiredDrive] = []
    nodes: list[GivenUpNode] = []
    """Those that were given up."""


class Change:
    """A decision that memory already shows and the registry does not yet.

    Exactly one of :meth:`done` and :meth:`undo` is called once the outcome of the commit is known; if the outcome
    cannot be known, neither: the whole memory is thrown away then.
    """

    __slots__ = ("_busy", "_done", "_names", "_undo", "writes")

    def __init__(
        self,
        writes: Writes,
        undo: Callable[[], None],
        *,
        busy: set[str],
        names: Iterable[str] = (),
        done: Callable[[], None] | None = None,
    ) -> None:
        self.writes = writes
        self._undo = undo
        self._done = done
        self._busy = busy
        self._names = tuple(names)
        busy.update(self._names)

    def done(self) -> None:
        """The registry has it."""
        self._busy.difference_update(self._names)
        if self._done is not None:
            self._done()

    def undo(self) -> None:
        """The registry certainly does not have it: take it back."""
        self._busy.difference_update(self._names)
        self._undo()


def merged(changes: list[Change], busy: set[str]) -> Change | None:
    """Return one change that commits or fails as a whole; None if there are none."""
    if not changes:
        return None
    if len(changes) == 1:
        return changes[0]

    def undo() -> None:
        for change in reversed(changes):
            change.undo()

    def done() -> None:
        for change in changes:
            change.done()

    drives = {record.fsuuid: record for change in changes for record in change.writes.drives}
    volumes = {record.name: record for change in changes for record in change.writes.volumes}
    removed = tuple(record for change in changes for record in change.writes.removed)
    gone = tuple(record for change in changes for record in change.writes.gone)
    retired = tuple(each for change in changes for each in change.writes.retired)
    settled = tuple(each for change in changes for each in change.writes.settled)
    nodes = tuple(each for change in changes for each in change.writes.nodes)
    writes = Writes((*drives.values(),), (*volumes.values(),), removed, gone, retired, settled, nodes)
    return Change(writes, undo, busy=busy, done=done)


def is_full(record: DriveRecord) -> bool:
    """Tell whether the drive's node says that its file system lacks space which it should have."""
    return bool(record.conditions) and any(condition.type is ConditionType.FULL for condition in record.conditions)


def is_suspended(record: DriveRecord) -> bool:
    """Tell whether people suspended the drive; its volumes are served empty, so it takes no new ones."""
    return names.is_suspended(record.labels)


def label_of(record: DriveRecord, key: str) -> str | None:
    """Return what a storage class may ask for under ``key``: a label, or a fact that upstream shows as one.

    Source: upstream's labels at creation of a DirectPVDrive: node, drive-name, version, created-by.
    """
    value = record.labels.get(key)
    return value if value is not None else _facts(record).get(key)


def _facts(record: DriveRecord) -> dict[str, str]:
    return {
        names.NODE: record.node,
        names.DRIVE_NAME: record.device,
        names.VERSION: names.API_VERSION,
        names.CREATED_BY: "directpv-driver",
    }


def labels_of(record: DriveRecord) -> dict[str, str]:
    """Return all that :func:`label_of` finds."""
    return {**_facts(record), **record.labels}


def pairs_of(record: DriveRecord) -> Iterator[tuple[str, str]]:
    """Return each pair once by which a need can choose the drive: labels, facts, topology."""
    return iter({*record.labels.items(), *_facts(record).items(), *record.topology.items()})
