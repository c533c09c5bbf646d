"""The books: which drives, volumes and nodes there are, with every sum kept in step by the method that changes it."""

from typing import Any, Final

from sortedcontainers import SortedList

from directpv_common.protocol import names
from directpv_common.protocol.messages import DriveRecord, DriveStatus, VolumeRecord
from directpv_controller.core.placing import spread
from directpv_controller.core.placing.model import NOT_CONTESTED, Drive, Node, Totals, Volume
from directpv_controller.core.placing.placement import Chance, Index

UNKNOWN_NODE: Final = "unknown"
"""Node of drives that the registry does not have, though it has volumes on them."""


class Books:
    """State and arithmetic only; what may be done, :class:`~.ledger.Ledger` decides."""

    def __init__(self, chance: Chance) -> None:
        self.drives: dict[str, Drive] = {}
        self.volumes: dict[str, Volume] = {}
        self.nodes: dict[str, Node] = {}
        self.node_names: SortedList[str] = SortedList()
        self.drive_ids: SortedList[str] = SortedList()
        self.volume_names: SortedList[str] = SortedList()
        self.totals = Totals({status.value: 0 for status in DriveStatus})
        self.unreadable: dict[tuple[str, str], str] = {}
        """Records of the registry that cannot be understood, by noun and name, with the reason; until a node tells."""
        self.unread: set[str] = set()
        """Drives of which nobody has told yet which volumes they have."""
        self.moves: set[str] = set()
        """Volumes with a move that has not ended."""
        self.contested: dict[str, set[str]] = {}
        """Drives that show a volume which the registry does not have there, by its name."""
        self.index = Index(self.drives, self.nodes, chance)

    def enter(self, record: DriveRecord) -> Drive:
        """Add a drive without volumes; the caller tells the index."""
        key = (0, 0.0, record.fsuuid)
        node = self._node(record.node)
        drive = Drive(record, key, record.overhead, volumes={}, views=[], tops=[], offline=node.offline)
        self.drives[record.fsuuid] = drive
        self.drive_ids.add(record.fsuuid)
        node.drives[record.fsuuid] = drive
        self._count(drive, +1)
        return drive

    def _node(self, name: str) -> Node:
        """Return a node, also one of which nothing was known."""
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = Node({})
            self.node_names.add(name)
        return node

    def enter_again(self, drive: Drive) -> None:
        """Put back a drive that left; the caller tells the index."""
        self.drives[drive.fsuuid] = drive
        self.drive_ids.add(drive.fsuuid)
        node = self._node(drive.record.node)
        node.drives[drive.fsuuid] = drive
        drive.offline = node.offline
        self._count(drive, +1)

    def enter_placeholder(self, fsuuid: str) -> Drive:
        """Add a stand-in for a drive of which only volumes are known."""
        record = DriveRecord(fsuuid=fsuuid, node=UNKNOWN_NODE, total=0, overhead=0, status=DriveStatus.LOST)
        drive = self.enter(record)
        drive.known = False
        return drive

    def leave(self, drive: Drive) -> None:
        """Take away a drive without volumes."""
        self.set_contested(drive, {})
        self.index.removed(drive)
        self._count(drive, -1)
        del self.drives[drive.fsuuid]
        self.drive_ids.remove(drive.fsuuid)
        del self.nodes[drive.record.node].drives[drive.fsuuid]

    def _count(self, drive: Drive, sign: int) -> None:
        """Add the drive to the sums and to what is known of all drives, or take it away."""
        node, record = self.nodes[drive.record.node], drive.record
        for sums in (node, self.totals):
            sums.total += sign * record.total
            sums.allocated += sign * drive.allocated
            sums.volumes += sign * len(drive.volumes)
        statuses = self.totals.drives
        statuses[record.status.value] = statuses.get(record.status.value, 0) + sign
        if record.unread:
            (self.unread.add if sign > 0 else self.unread.discard)(record.fsuuid)

    # ---- accounting

    def reserve(self, drive: Drive, size: int, volumes: int = 0) -> None:
        """Add ``size`` bytes (negative: give back) and so many volumes to the drive and the sums."""
        over = drive.overcommitted
        drive.allocated += size
        self.sum_up(drive, size, volumes)
        if over or drive.overcommitted:
            self.index.changed(drive)
        else:
            self.index.resized(drive)

    def attach(self, drive: Drive, volume: Volume) -> None:
        """Enter a volume and reserve its space; the caller keeps sums, ordered names and the index in step."""
        record = volume.record
        name = record.name
        self.volumes[name] = volume
        drive.volumes[name] = volume
        if record.claim_id:
            if not drive.claims:
                drive.claims = {}
            drive.claims[record.claim_id] = drive.claims.get(record.claim_id, 0) + 1
            self.index.claims[record.claim_id] += 1
        drive.allocated += record.capacity

    def sum_up(self, drive: Drive, size: int, volumes: int) -> None:
        """Add bytes and volumes of the drive to the sums."""
        for sums in (self.nodes[drive.record.node], self.totals):
            sums.allocated += size
            sums.volumes += volumes

    def add(self, drive: Drive, volume: Volume) -> None:
        """Enter a volume and reserve its space."""
        record = volume.record
        over = drive.overcommitted
        self.attach(drive, volume)
        self.sum_up(drive, record.capacity, 1)
        self.volume_names.add(record.name)
        if drive.projects is not None:
            project = names.project_id(record.name)
            drive.projects[project] = drive.projects.get(project, 0) + 1
        if drive.groups is not None:
            spread.count(drive.groups, record, +1)
        if record.claim_id or over or drive.overcommitted:
            self.index.changed(drive)
        else:
            self.index.resized(drive)

    def drop(self, volume: Volume) -> Drive:
        """Take a volume away, free its space, and return its drive."""
        record = volume.record
        drive = self.drives[record.fsuuid]
        del self.volumes[record.name]
        del drive.volumes[record.name]
        self.volume_names.remove(record.name)
        _less(drive.claims, record.claim_id)
        _less(self.index.claims, record.claim_id)
        if drive.projects is not None:
            _less(drive.projects, names.project_id(record.name))
        if drive.groups is not None:
            spread.count(drive.groups, record, -1)
        self.reserve(drive, -record.capacity, -1)
        if record.claim_id:
            self.index.changed(drive)
        return drive

    def amend(self, volume: Volume, record: VolumeRecord) -> None:
        """Replace the record of a volume whose size and drive stay as they are."""
        before, volume.record = volume.record, record
        drive = self.drives.get(record.fsuuid)
        if drive is None or drive.groups is None or before.deleting is record.deleting:
            return
        if drive.volumes.get(record.name) is volume:
            spread.count(drive.groups, before, -1)
            spread.count(drive.groups, record, +1)

    def set_record(self, drive: Drive, record: DriveRecord) -> None:
        """Replace the record of a drive that stays on its node."""
        self._count(drive, -1)
        drive.allocated += record.overhead - drive.record.overhead
        drive.record = record
        self._count(drive, +1)
        self.index.changed(drive)

    def set_offline(self, node: str, offline: bool) -> bool:
        """Note whether a node with drives is not there, and tell whether that is news. Not recorded."""
        held = self.nodes.get(node)
        if held is None or held.offline is offline:
            return False
        held.offline = offline
        for drive in held.drives.values():
            drive.offline = offline
            self.index.changed(drive)
        return bool(held.drives)

    def set_partial(self, drive: Drive, partial: bool) -> None:
        """Note whether volumes of a drive are still to be told; such a drive takes no new ones. Not recorded."""
        if drive.partial is not partial:
            drive.partial = partial
            self.index.changed(drive)

    def set_strays(self, drive: Drive, size: int) -> None:
        """Count ``size`` bytes as taken by what the registry does not have there: volumes, copies. Not recorded."""
        if size != drive.strays:
            difference, drive.strays = size - drive.strays, size
            self.reserve(drive, difference)

    def set_contested(self, drive: Drive, found: dict[str, str]) -> None:
        """Note which volumes a drive shows that the registry does not have there. Not recorded."""
        if found == drive.contested:
            return
        for name in drive.contested.keys() - found.keys():
            self.contested[name].discard(drive.fsuuid)
            if not self.contested[name]:
                del self.contested[name]
        for name in found:
            self.contested.setdefault(name, set()).add(drive.fsuuid)
        drive.contested = found or NOT_CONTESTED

    def note_move(self, record: VolumeRecord) -> None:
        """Keep in step which volumes are being moved."""
        if record.moving is None:
            self.moves.discard(record.name)
        else:
            self.moves.add(record.name)

    def host(self, drive: Drive, name: str, size: int) -> None:
        """Keep ``size`` bytes (0: none any more) for a volume of another drive that is being moved from or to here."""
        before = drive.guests.get(name, 0)
        drive.guests = {other: taken for other, taken in drive.guests.items() if other != name}
        if size:
            drive.guests[name] = size
        self.reserve(drive, size - before)

    def move(self, drive: Drive, record: DriveRecord) -> None:
        """Replace the record of a drive, also when it names another node."""
        self.index.removed(drive)
        self._count(drive, -1)
        del self.nodes[drive.record.node].drives[drive.fsuuid]
        drive.allocated += record.overhead - drive.record.overhead
        drive.record = record
        node = self._node(record.node)
        node.drives[record.fsuuid] = drive
        drive.offline = node.offline
        self._count(drive, +1)
        self.index.changed(drive)


def _less(table: dict[Any, int], key: object) -> None:
    """Count one less of ``key``; nothing if it is not counted."""
    if key in table:
        table[key] -= 1
        if not table[key]:
            del table[key]
