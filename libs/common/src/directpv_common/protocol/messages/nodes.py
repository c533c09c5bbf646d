"""Nodes: their block devices, what their agents report, and what they are asked to format."""

from typing import Annotated

from msgspec import Meta

from directpv_common.protocol.messages.base import (
    Bytes,
    Count,
    Fence,
    FsUuid,
    Message,
    NodeName,
    PageLimit,
    Segments,
    Timestamp,
    VolumeName,
)
from directpv_common.protocol.messages.drives import Condition, DriveRecord, DriveStatus
from directpv_common.protocol.messages.volumes import VolumeRecord, VolumeUse


class Empty(Message, frozen=True, kw_only=True):
    """A request without arguments."""


class RegisterKey(Message, frozen=True, kw_only=True):
    """Make the key by which the asker came in known as that of its node."""

    token: Annotated[str, Meta(min_length=1, max_length=16_384)]
    """Of the node's own pod, issued by Kubernetes for :data:`directpv_common.protocol.names.BUS_AUDIENCE`."""


class CutOff(Message, frozen=True, kw_only=True):
    """A controller ended somebody's connection who took too much of the bus."""

    who: Annotated[str, Meta(min_length=1, max_length=255)]
    """The key of a node, or the address of anybody else."""
    seconds: Annotated[float, Meta(gt=0, le=3600)]
    """For so long he is not to be let in again."""


class KeyRegistered(Message, frozen=True, kw_only=True):
    """From now on the key is that of ``node``."""

    node: NodeName


class NodeInfo(Message, frozen=True, kw_only=True):
    """A node agent's own description."""

    name: NodeName
    topology: Segments
    """The five topology keys; becomes NodeGetInfo's ``accessible_topology``."""
    version: str = ""
    quota_enforced: bool = True
    """False under ``--quota=best-effort`` on a kernel without XFS project quota."""


class NodeSummary(Message, frozen=True, kw_only=True):
    """A node as the controller sees it."""

    info: NodeInfo
    online: bool
    """Whether its agent was heard lately."""
    last_seen: Timestamp = ""
    drives: Count = 0
    total: Bytes = 0
    allocated: Bytes = 0
    volumes: Count = 0
    given_up: Timestamp = ""
    """It was removed at that time, is heard again, and has no drives yet; empty: it was not."""


class ListNodes(Message, frozen=True, kw_only=True):
    """Ask for nodes."""

    token: str = ""
    limit: PageLimit = 0
    paged: bool = False
    """The caller understands ``next``; without it all nodes come at once, if they fit into one message."""


class NodePage(Message, frozen=True, kw_only=True):
    """Some nodes, ordered by name; ``next`` is empty on the last page."""

    nodes: tuple[NodeSummary, ...]
    next: str = ""


class Device(Message, frozen=True, kw_only=True):
    """A block device of a node, whether or not it may be initialised."""

    name: str
    """Kernel name without ``/dev/``."""
    id: str
    """``<major:minor>$<base64 of SHA-256>`` over all that was seen; changes when anything about the device does."""
    major_minor: str
    size: Bytes
    make: str = ""
    fs_type: str = ""
    """File system, RAID, LVM or other signature that the device carries."""
    fsuuid: str = ""
    denied: tuple[str, ...] = ()
    """Why the device may not be initialised; empty if it may."""
    needs_force: bool = False
    """It carries a signature: only ``force`` formats it."""


class DeviceList(Message, frozen=True, kw_only=True):
    """All block devices of a node that its agent may touch."""

    node: NodeName
    devices: tuple[Device, ...]


class FormatDevice(Message, frozen=True, kw_only=True):
    """One device to format, exactly as it was when discovered."""

    id: str
    name: str
    force: bool = False


class FormatDevices(Message, frozen=True, kw_only=True):
    """Leader -> node: format, mount and lay out each device whose id still holds."""

    devices: tuple[FormatDevice, ...]
    registered: tuple[str, ...] = ()
    """FSUUIDs among the devices' file systems that the registry knows as drives, of any node: refused."""
    fence: Fence


class InitDevices(Message, frozen=True, kw_only=True):
    """CLI -> controller: format these devices of one node and register them as drives."""

    node: NodeName
    devices: tuple[FormatDevice, ...]


class FormatResult(Message, frozen=True, kw_only=True):
    """Outcome for one device: the drive that it became, or why not."""

    name: str
    drive: DriveRecord | None = None
    error: str = ""
    existed: bool = False
    """The drive was made by an earlier request of the same device; nothing was formatted now."""


class FormatResults(Message, frozen=True, kw_only=True):
    """One result per device asked, in the same order."""

    node: NodeName
    results: tuple[FormatResult, ...]


class UpdateDrive(Message, frozen=True, kw_only=True):
    """Leader -> node: keep these decisions of people on the drive itself."""

    record: DriveRecord
    fence: Fence


class HeldVolume(Message, frozen=True, kw_only=True):
    """A volume as found on a drive."""

    record: VolumeRecord
    use: VolumeUse = VolumeUse()
    contested: bool = False
    """Another drive of the node has a volume of that name too, and the node does not know which one is meant."""
    stray_of: str = ""
    """FSUUID of the drive that has the volume, as a leader said: this is a copy, and is not served."""
    sealed: str = ""
    """All of it was copied to ``stray_of`` by the move with this id, and it waits for the leader's decision."""


class HeldCopy(Message, frozen=True, kw_only=True):
    """What a move has copied to a drive; it becomes a volume only by the order that names the move."""

    name: VolumeName
    move: str = ""
    """Id of the move that has completed it; empty: it is not complete."""
    incarnation: str = ""
    """Of the volume; empty: not complete, or the volume has none."""
    size: Bytes = 0
    """Bytes that are set aside for it, if it is complete: its limit, or what it takes if it has none."""


class HeldDrive(Message, frozen=True, kw_only=True):
    """A drive as its agent sees it: facts, and all volumes on it.

    ``readable`` False: the drive is lost or broken, and ``volumes`` is what was last seen, possibly nothing;
    nothing may be concluded from a volume's absence.
    """

    record: DriveRecord
    generation: Count
    """Grows with each change; a report with a smaller one than the last is stale."""
    readable: bool = True
    volumes: tuple[HeldVolume, ...] = ()
    purging: tuple[VolumeName, ...] = ()
    """Removed volumes whose data is still being deleted."""
    copies: tuple[HeldCopy, ...] = ()
    """What is in ``.directpv/incoming/``, whether a move is known that made it or not."""
    more: str = ""
    """The last volume told, if there are more, in the order of their names: ask for those after it."""


class GetInventory(Message, frozen=True, kw_only=True):
    """Leader -> node: report these drives (empty: all)."""

    drives: tuple[FsUuid, ...] = ()
    after: str = ""
    """Of the first drive, report only volumes whose names come after this one."""
    paged: bool = False
    """The leader understands ``more`` and ``left``."""


class Inventory(Message, frozen=True, kw_only=True):
    """What is on the drives of a node."""

    info: NodeInfo
    boot: str
    """Identifies this run of the agent; generations of different runs cannot be compared."""
    drives: tuple[HeldDrive, ...]
    left: tuple[FsUuid, ...] = ()
    """Drives that were asked for and did not fit in: ask again."""


class ListSeenDrives(Message, frozen=True, kw_only=True):
    """Ask a node for the drives on its devices, whosever they are; of one drive, also what is on it."""

    fsuuid: str = ""
    """Only this drive, with its volumes; empty: all drives, and only how many volumes each has."""
    after: str = ""
    """Of that drive, only volumes whose names come after this one."""


class SeenDrive(Message, frozen=True, kw_only=True):
    """A drive of DirectPV as a device shows it, mounted or not."""

    fsuuid: FsUuid
    device: str
    node: str = ""
    """Whose it is, as it says itself; empty: it does not say, or cannot be read."""
    total: Bytes = 0
    count: Count = 0
    """How many volumes it has a record of."""
    volumes: tuple[VolumeRecord, ...] = ()
    more: str = ""
    """The last volume told, if there are more: ask for those after it."""
    retired: str = ""
    """Since when it is nobody's, for it was given up, or a word that it was; empty: it was not."""
    problem: str = ""
    """Why the node cannot use it, if that is known; empty: it can, or is using it."""


class SeenDrives(Message, frozen=True, kw_only=True):
    """Drives on the devices of ``node``."""

    node: NodeName
    drives: tuple[SeenDrive, ...]


class MoveDrive(Message, frozen=True, kw_only=True):
    """CLI -> controller: the disk of this drive is in ``node`` now; from now on the drive is that node's."""

    fsuuid: FsUuid
    node: NodeName
    from_node: str = ""
    """Whose it is as the drive says; another one on the drive, and nothing is done."""
    dangerous: bool = False
    """Also if the node that had it is not heard, so that nobody knows whether it still has the disk mounted."""
    given_up: bool = False
    """Also if it was removed from DirectPV, with or without its volumes: what is on it is taken in again."""


class AdoptDrive(Message, frozen=True, kw_only=True):
    """Leader -> node: note on the drive, which says that it is ``from_node``'s, that it is yours, and serve it."""

    fsuuid: FsUuid
    from_node: str
    fence: Fence


class DriveHealth(Message, frozen=True, kw_only=True):
    """How one drive is, however long the list of its volumes."""

    status: DriveStatus
    conditions: tuple[Condition, ...] = ()


class NodeState(Message, frozen=True, kw_only=True):
    """Heartbeat of a node agent, sent every few seconds and after each change.

    The controller compares ``drives`` with what it took in, and asks for an inventory of those that differ.
    """

    info: NodeInfo
    boot: str
    sequence: Count
    drives: dict[str, int] = {}
    """FSUUID to generation."""
    unwell: dict[str, DriveHealth] | None = None
    """Drives that are not Ready, or have warnings; None: the agent is of a version that does not tell.

    One that is not here is Ready; what warnings it has, if any, its inventory tells."""


class DriveMetrics(Message, frozen=True, kw_only=True):
    """One sample of a drive; counters since boot. What its disk does not tell about its health is None."""

    fsuuid: FsUuid
    ready: bool
    read_bytes: Count = 0
    write_bytes: Count = 0
    read_seconds: float = 0.0
    write_seconds: float = 0.0
    wait_seconds: float = 0.0
    """Time of all requests together, queued or served."""
    reads: Count = 0
    writes: Count = 0
    """Requests that ended; both 0 from an agent that does not tell."""
    temperature_celsius: int | None = None
    media_errors: Count | None = None
    wear_percent: Count | None = None
    """Of the rated endurance; may exceed 100."""
    spare_percent: Count | None = None
    power_on_hours: Count | None = None
    failure_predicted: bool | None = None


class VolumeMetrics(Message, frozen=True, kw_only=True):
    """One sample of a volume."""

    name: VolumeName
    fsuuid: FsUuid
    total: Bytes
    used: Bytes


class NodeMetrics(Message, frozen=True, kw_only=True):
    """What a node agent samples, for the live tap; in several parts if it does not fit into one message."""

    node: NodeName
    time: Timestamp
    """Of the sample; the same in all of its parts."""
    part: Annotated[int, Meta(ge=1)] = 1
    """Which part this is, of :attr:`parts`; each drive and each volume is in one of them."""
    parts: Annotated[int, Meta(ge=1)] = 1
    drives: tuple[DriveMetrics, ...] = ()
    volumes: tuple[VolumeMetrics, ...] = ()
