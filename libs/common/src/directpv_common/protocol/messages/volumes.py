"""Volumes: one directory on one drive, with an XFS project quota."""

from directpv_common.protocol.messages.base import (
    AbsolutePath,
    Bytes,
    Count,
    Fence,
    Filters,
    FsUuid,
    Incarnation,
    Message,
    MoveId,
    NodeName,
    PageLimit,
    Segments,
    Size,
    Timestamp,
    VolumeName,
)
from directpv_common.protocol.open_enum import OpenStrEnum

# ---- what is kept ---------------------------------------------------------------------------------------------


class MovePhase(OpenStrEnum):
    """What the registry has decided about the move of a volume to another drive of its node."""

    COPYING = "Copying"
    """The volume is on its drive; the other one is getting a copy."""
    FLIPPED = "Flipped"
    """The volume is on the drive that had the copy; the other one's data is to be removed."""
    CANCELLED = "Cancelled"
    """The volume stays where it is; what was copied is to be removed from the other drive."""


class Moving(Message, frozen=True, kw_only=True):
    """A move that has not ended, as the registry keeps it; both drives have space reserved for the volume."""

    drive: FsUuid
    """The other drive: the target until the flip, the source after it."""
    id: MoveId
    """Tells this move from earlier and later ones of the volume."""
    phase: MovePhase = MovePhase.COPYING
    limit: Bytes = 0
    """Bytes per second that are read for it; 0: as fast as it goes."""


class KeptPv(Message, frozen=True, kw_only=True):
    """What Kubernetes' PersistentVolume of a volume said last, beside what the volume itself says.

    Kept so that one like it can be made when the cluster that had it is lost. Source: Kubernetes, PersistentVolumeSpec.
    """

    storage_class: str = ""
    reclaim_policy: str = ""
    """``Delete`` or ``Retain``."""
    access_modes: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    fs_type: str = ""


class VolumeRecord(Message, frozen=True, kw_only=True):
    """What is known of a volume, in the registry and on its drive (``.directpv/volumes/<name>.json``)."""

    name: VolumeName
    fsuuid: FsUuid
    capacity: Size
    parameters: dict[str, str] = {}
    """Parameters of the storage class, as CreateVolume brought them; compared when a create is repeated."""
    labels: dict[str, str] = {}
    claim_id: str = ""
    """At most one volume of a claim id lives on a drive."""
    incarnation: Incarnation = ""
    """Made with the volume, so that a later one of the same name is another; empty: made before there were such."""
    pvc_name: str = ""
    pvc_namespace: str = ""
    pv: KeptPv | None = None
    """None: not known; there is no Kubernetes, or no pod has used the volume yet."""
    created: Timestamp = ""
    deleting: bool = False
    """Delete was acknowledged or is under way; the space stays reserved until the data is gone."""
    pod_name: str = ""
    """Pod that mounted the volume last. Only the node writes it; the registry takes it from there."""
    pod_namespace: str = ""
    pod_uid: str = ""
    """Tells the pod from an earlier one of the same name, as a StatefulSet makes them; empty: not known."""
    used: bool = False
    """It was staged before, as the node noted once somebody had used it; until then it is Pending."""
    moving: Moving | None = None
    """Of the registry alone: the move to another drive that has not ended."""
    origins: tuple[FsUuid, ...] = ()
    """Drives that had the volume before it was moved: the volume context may name one of them."""


class VolumeUse(Message, frozen=True, kw_only=True):
    """Where a volume is mounted at the moment; from the node's mount table."""

    staged: str = ""
    """Staging path; empty if not staged."""
    published: tuple[str, ...] = ()
    """Target paths, sorted."""


class VolumeStatus(OpenStrEnum):
    """State as ``list volumes`` shows it; upstream's words, since scripts look for them."""

    PENDING = "Pending"
    READY = "Ready"
    BOUND = "Bounded"
    LOST = "Lost"
    RELEASED = "Released"
    DELETING = "Deleting"
    """Delete was acknowledged, and the data is not gone yet; shown to those who ask for it."""


class VolumeInfo(Message, frozen=True, kw_only=True):
    """A volume as the controller shows it."""

    record: VolumeRecord
    node: NodeName
    device: str = ""
    topology: Segments = {}
    use: VolumeUse = VolumeUse()
    status: VolumeStatus = VolumeStatus.PENDING
    abnormal: bool = False
    condition: str = ""
    """Why the volume is abnormal, or a word that all is well; CSI VolumeCondition."""


# ---- controller API -------------------------------------------------------------------------------------------


class VolumeId(Message, frozen=True, kw_only=True):
    """Names one volume; base of what is asked for one."""

    name: VolumeName


class CreateVolume(VolumeId, frozen=True, kw_only=True):
    """Place a volume. Safe to repeat under the same name.

    ``required`` 0 means no lower bound: the volume takes all that the chosen drive has free, up to ``limit``.
    """

    required: Bytes = 0
    limit: Bytes = 0
    """0 means no upper bound."""
    parameters: dict[str, str] = {}
    requisite: tuple[Segments, ...] = ()
    """The volume must be accessible from at least one of these; empty means anywhere."""
    preferred: tuple[Segments, ...] = ()
    """Tried in order, before the rest of ``requisite``."""


class ExpandVolume(VolumeId, frozen=True, kw_only=True):
    """Reserve a larger size for a volume; a smaller or equal one changes nothing."""

    required: Size
    limit: Bytes = 0


class VolumeExpanded(Message, frozen=True, kw_only=True):
    """Size that the volume has now, and whether its node must still raise the quota."""

    capacity: Size
    node_expansion_required: bool = True


class ChangeVolume(VolumeId, frozen=True, kw_only=True):
    """Change what people decide about one volume; None means: leave as it is."""

    suspended: bool | None = None
    """It shows an empty read-only directory from its next stage and publish on."""
    set_labels: dict[str, str] = {}
    remove_labels: tuple[str, ...] = ()


class ListVolumes(Filters, frozen=True, kw_only=True):
    """Ask for volumes."""

    drives: tuple[str, ...] = ()
    """Drive ids."""
    names: tuple[str, ...] = ()
    statuses: tuple[VolumeStatus, ...] = ()
    deleting: bool = False
    """Also those that are being deleted."""
    given_up: bool = False
    """Instead of all others, those of drives that were given up whose deletion is still to be carried out."""
    labels: dict[str, str] = {}
    token: str = ""
    limit: PageLimit = 0


class VolumePage(Message, frozen=True, kw_only=True):
    """Some volumes, ordered by name; ``next`` is empty on the last page."""

    volumes: tuple[VolumeInfo, ...]
    next: str = ""


class GetCapacity(Message, frozen=True, kw_only=True):
    """Ask what a volume with these parameters could get in ``accessible`` (empty: anywhere)."""

    parameters: dict[str, str] = {}
    accessible: Segments = {}


class Capacity(Message, frozen=True, kw_only=True):
    """Sum of free bytes on drives that match, and the largest free space of one of them."""

    available: Bytes
    maximum: Bytes


# ---- node API ---------------------------------------------------------------------------------------------------


class PrepareVolumes(Message, frozen=True, kw_only=True):
    """Leader -> node: make directory, record and quota of each volume on its drive, or bring them up to date."""

    records: tuple[VolumeRecord, ...]
    fence: Fence
    traces: dict[str, str] = {}
    """By name, the ``traceparent`` of the call that wanted the volume; only while somebody records traces."""


class Prepared(Message, frozen=True, kw_only=True):
    """Volumes that could not be prepared, with the reason in words."""

    failed: dict[str, str] = {}


class RemoveVolume(VolumeId, frozen=True, kw_only=True):
    """Leader -> node: destroy the data of a volume that is mounted nowhere."""

    fsuuid: FsUuid
    incarnation: Incarnation | None = None
    """Nothing but this one is destroyed; None: the leader is of a version that knows of none."""
    move: MoveId = ""
    """The data was moved away by this move: it goes only if it is sealed for it, and ``moved_to`` has the volume."""
    moved_to: str = ""
    fence: Fence


class VolumeRemoved(Message, frozen=True, kw_only=True):
    """``purged``: nothing of the volume is left. Otherwise the data is being deleted and cannot be mounted."""

    purged: bool


class _AtStagingPath(VolumeId, frozen=True, kw_only=True):
    staging_path: AbsolutePath


class _AtVolumePath(VolumeId, frozen=True, kw_only=True):
    volume_path: AbsolutePath
    """Where the volume is staged or published."""


class StageVolume(_AtStagingPath, frozen=True, kw_only=True):
    """Gateway -> node: mount the volume at ``staging_path``; the node decides from its own drives.

    ``fsuuid``, ``capacity`` and ``incarnation`` come from the volume context: the first two serve when the drive's
    record is missing, the last one tells whether it is of this volume.
    """

    fsuuid: str = ""
    capacity: Bytes = 0
    incarnation: Incarnation = ""
    mount_flags: tuple[str, ...] = ()


class PublishVolume(_AtStagingPath, frozen=True, kw_only=True):
    """Gateway -> node: mount the staged volume at ``target_path``."""

    target_path: AbsolutePath
    read_only: bool = False
    single_writer: bool = False
    """Access mode SINGLE_NODE_SINGLE_WRITER: no second target path."""
    mount_flags: tuple[str, ...] = ()
    pod_name: str = ""
    pod_namespace: str = ""
    pod_uid: str = ""


class UnpublishVolume(VolumeId, frozen=True, kw_only=True):
    """Gateway -> node: unmount and remove ``target_path``."""

    target_path: AbsolutePath


class UnstageVolume(_AtStagingPath, frozen=True, kw_only=True):
    """Gateway -> node: unmount ``staging_path``."""


class ExpandNodeVolume(_AtVolumePath, frozen=True, kw_only=True):
    """Gateway -> node: raise the quota of a mounted volume to ``required`` bytes."""

    required: Bytes
    """0: up to what the drive's record says."""
    limit: Bytes = 0


class NodeVolumeExpanded(Message, frozen=True, kw_only=True):
    """Bytes that the volume can hold now."""

    capacity: Size


class StatVolume(_AtVolumePath, frozen=True, kw_only=True):
    """Gateway -> node: how full is the volume that is mounted at ``volume_path``?"""


class GetVolumeUsage(VolumeId, frozen=True, kw_only=True):
    """CLI -> node: how full is the volume, whether or not it is mounted?"""

    fsuuid: FsUuid


class VolumeStats(Message, frozen=True, kw_only=True):
    """Use of one volume, and whether its drive is well."""

    total: Bytes
    used: Bytes
    available: Bytes
    inodes_total: Count
    inodes_used: Count
    inodes_free: Count
    abnormal: bool = False
    condition: str = ""
