"""Every kind of event, and when it is told: one table, of which the reference in docs/ is made.

An event's type is ``<noun>.<kind>`` below :data:`directpv_common.bus.cloud_event.TYPE_PREFIX`, its subject on the bus
ends in the same two words. A test holds that no service tells of a kind that is not here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "device.added": "a block device came",
        "device.changed": "a block device has another size or content",
        "device.removed": "a block device went",
        "drive.added": "an agent mounted a drive, and serves it",
        "drive.changed": "people cordoned, suspended or labelled a drive, or took that back",
        "drive.checked": "a check of a drive's file system ended, which changes nothing",
        "drive.conflict": "two devices carry one drive, or two nodes report it",
        "drive.cordoned": "a drive was cordoned, because its disk expects to fail",
        "drive.edit-refused": "a change of a DirectPVDrive was put back; says why",
        "drive.epoch-ignored": "a DirectPVDrive names an epoch of leadership that cannot be",
        "drive.error": "a drive cannot be used; says why, and what to do",
        "drive.expand-failed": "a device grew, and its file system could not follow",
        "drive.expanded": "the file system of a drive grew with its device",
        "drive.lost": "no device of its node carries the drive any more",
        "drive.media-errors": "the disk counts more errors of its medium than before",
        "drive.not-reconciled": "what a node says of a drive could not be taken in; says why",
        "drive.overcommitted": "more is promised to a drive's volumes than it has",
        "drive.ready": "a drive is well again, and mounted",
        "drive.recreated": "a DirectPVDrive was deleted and made again, for its drive is there",
        "drive.registered": "the leader took a new drive in",
        "drive.remove-requested": "upstream's plugin asked for the removal of an empty drive, which was cordoned",
        "drive.removed": "a drive was given up, or its file system is not on its device any more",
        "drive.repair-failed": "a repair ended without success; has the program's output",
        "drive.repaired": "a repair ended well",
        "drive.repairing": "a repair or a check began",
        "drive.retired": "a disk carries a drive that was given up: no agent takes it over again by itself",
        "drive.unreadable": "a drive's record in the registry cannot be understood",
        "drive.warning": "a drive goes on serving with something wrong: slow, full, failing, a duplicate",
        "drive.warning-ended": "that is over",
        "drive.wipe-failed": "a drive was given up, and its disk could not be wiped; says why",
        "leader.elected": "a controller leads; says after how many seconds",
        "leader.lost": "a controller leads no longer; says why",
        "node.not-reconciled": "what a node says of itself could not be taken in; says why",
        "node.offline": "nothing was heard of a node's agent for long",
        "node.online": "a node's agent is heard",
        "volume.adopted": "a volume was found on a drive, and taken in",
        "volume.changed": "people or a pod's labels changed what a volume's record says",
        "volume.conflict": "two drives have a volume of one name, or a record that does not fit it",
        "volume.created": "a volume has its place",
        "volume.deleted": "a volume's data and record are gone",
        "volume.edit-refused": "a change of a DirectPVVolume was put back; says why",
        "volume.epoch-ignored": "a DirectPVVolume names an epoch of leadership that cannot be",
        "volume.expanded": "a volume was promised more, or its quota was raised",
        "volume.files-left": "an unmounted path holds files of others, and was left with them",
        "volume.labels-ignored": "a pod's labels use reserved keys, and were left out",
        "volume.missing": "a drive does not have a volume that it should",
        "volume.not-reconciled": "what a node says of a volume could not be taken in; says why",
        "volume.oversized": "a volume on a drive is larger than what the drive has left",
        "volume.published": "a volume is at its pod's path",
        "volume.purge-held": "space of a deleted volume is held by a process with open files; names it",
        "volume.purged": "the last bytes of a deleted volume are free",
        "volume.quota-evaded": "files in a volume are not charged to it",
        "volume.raised": "a volume has more on its drive than was known, which is reserved now",
        "volume.recreated": "a DirectPVVolume was deleted and made again, for its volume is there",
        "volume.refused": "there was no drive for a new volume; says what each lacked",
        "volume.released": "a DirectPVVolume was deleted by people; its data goes as in DeleteVolume",
        "volume.removed": "a node took a volume's directory away",
        "volume.staged": "a volume is at its staging path",
        "volume.unmounted": "somebody else unmounted a volume; says what became of it",
        "volume.unpublished": "a volume left its pod's path",
        "volume.unreadable": "a volume's record in the registry cannot be understood",
        "volume.unstaged": "a volume left its staging path",
    }
)
"""``<noun>.<kind>`` to when it is told."""
