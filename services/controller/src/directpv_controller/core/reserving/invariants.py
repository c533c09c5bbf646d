"""What must hold at all times. Source: design, section 5."""

from collections import Counter
from collections.abc import Iterator

from directpv_controller.core.placing import spread
from directpv_controller.core.placing.model import Drive
from directpv_controller.core.placing.placement import meets
from directpv_controller.core.reserving.books import Books


def check(books: Books) -> list[str]:
    """Return what is wrong, in sentences; empty when all is well. Looks at everything: not for the hot path."""
    return [*_drives(books), *_volumes(books), *_moves(books), *_sums(books), *_views(books)]


def _drives(books: Books) -> Iterator[str]:
    for fsuuid, drive in books.drives.items():
        volumes = sum(volume.record.capacity for volume in drive.volumes.values())
        expected = drive.record.overhead + volumes + sum(drive.guests.values()) + drive.strays
        if drive.allocated != expected:
            made = "guests, overhead, volumes and strays make"
            yield f"drive {fsuuid}: allocated {drive.allocated}, but {made} {expected}"
        yield from _guests(books, drive)
        yield from promises(drive)
        if drive.strays:
            yield f"drive {fsuuid}: carries {drive.strays} bytes of volumes that belong to another drive"
        yield from _claims(drive)
        yield from _groups(drive)
        if books.nodes[drive.record.node].drives.get(fsuuid) is not drive:
            yield f"drive {fsuuid}: missing from node {drive.record.node}"


def promises(drive: Drive) -> Iterator[str]:
    """Yield what may come out of a registry or of an inventory that are damaged; never of a placement."""
    if not drive.known:
        yield f"drive {drive.fsuuid}: has {len(drive.volumes)} volumes in the registry, but is not registered itself"
    elif drive.overcommitted:
        yield f"drive {drive.fsuuid}: {drive.allocated} bytes promised of {drive.record.total}"


def _guests(books: Books, drive: Drive) -> Iterator[str]:
    for name, size in drive.guests.items():
        volume = books.volumes.get(name)
        moving = volume.record.moving if volume is not None else None
        if volume is None or moving is None or (moving.drive, volume.record.capacity) != (drive.fsuuid, size):
            yield f"drive {drive.fsuuid}: {size} bytes are kept for {name}, which is not being moved from or to it"


def _claims(drive: Drive) -> Iterator[str]:
    counts = Counter(volume.record.claim_id for volume in drive.volumes.values() if volume.record.claim_id)
    if counts != Counter(drive.claims):
        yield f"drive {drive.fsuuid}: claims are counted wrongly"
    for claim, count in counts.items():
        if count > 1:
            yield f"drive {drive.fsuuid}: {count} volumes of claim {claim}"


def _groups(drive: Drive) -> Iterator[str]:
    if drive.groups is None:
        return
    known: dict[str, int] = {}
    for volume in drive.volumes.values():
        spread.count(known, volume.record, +1)
    if known != drive.groups:
        yield f"drive {drive.fsuuid}: what its volumes belong to is counted wrongly"


def _volumes(books: Books) -> Iterator[str]:
    homes = Counter(name for drive in books.drives.values() for name in drive.volumes)
    for name, volume in books.volumes.items():
        drive = books.drives.get(volume.record.fsuuid)
        if drive is None or drive.volumes.get(name) is not volume or homes[name] != 1:
            yield f"volume {name}: is not on exactly the drive that its record names"
    for name in homes.keys() - books.volumes.keys():
        yield f"volume {name}: space is reserved, but there is no such volume"
    if list(books.volume_names) != sorted(books.volumes) or list(books.drive_ids) != sorted(books.drives):
        yield "the ordered names are not those of the volumes and drives"
    if list(books.node_names) != sorted(books.nodes):
        yield "the ordered names are not those of the nodes"


def _moves(books: Books) -> Iterator[str]:
    moving = {name for name, volume in books.volumes.items() if volume.record.moving is not None}
    if moving != books.moves:
        yield f"moves are known of {sorted(books.moves ^ moving)} that are none, or not known"


def _sums(books: Books) -> Iterator[str]:
    for name, node in books.nodes.items():
        drives = node.drives.values()
        total, allocated = sum(drive.record.total for drive in drives), sum(drive.allocated for drive in drives)
        if (node.total, node.allocated, node.volumes) != (total, allocated, sum(len(d.volumes) for d in drives)):
            yield f"node {name}: its sums are wrong"
    nodes = books.nodes.values()
    totals = (sum(n.total for n in nodes), sum(n.allocated for n in nodes), sum(n.volumes for n in nodes))
    if (books.totals.total, books.totals.allocated, books.totals.volumes) != totals:
        yield "the sums over all drives are wrong"
    statuses = Counter(drive.record.status.value for drive in books.drives.values())
    if {status: count for status, count in books.totals.drives.items() if count} != dict(statuses):
        yield "drives are counted wrongly by status"
    if books.unread != {fsuuid for fsuuid, drive in books.drives.items() if drive.record.unread}:
        yield "the drives that could not be read yet are not those that are noted"


def _views(books: Books) -> Iterator[str]:
    for view in books.index.views():
        if view.rest is not None:
            continue  # some drives are still to come
        expected = {fsuuid: d for fsuuid, d in books.drives.items() if d.open and meets(d, view.need)}
        members = {fsuuid: d for fsuuid, d in books.drives.items() if view in d.views}
        free = sum(drive.free for drive in expected.values())
        if members != expected or (view.members, view.free) != (len(expected), free):
            yield f"the view of {view.need} is out of step"
        heap = set(view.heap)
        for drive in members.values():
            top = drive.tops[drive.views.index(view)]
            if top not in heap or -top[0] < drive.free or -drive.key[0] != drive.free:
                yield f"the view of {view.need} knows less of drive {drive.fsuuid} than there is"
    for name, node in books.nodes.items():
        if node.order != sorted(drive.key for drive in node.drives.values() if drive.open):
            yield f"node {name}: its drives are in the wrong order"
