"""What a device carries already: file systems, RAID and LVM members, encryption, partition tables."""

from dataclasses import replace
from typing import Final

from directpv_common.protocol.names import FS_LABEL, FS_TYPE, LEGACY_FS_LABEL
from directpv_nodeagent.devices.core import udev_data
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.superblock import Superblock

DRIVE_LABELS: Final = frozenset({FS_LABEL, LEGACY_FS_LABEL})
UNKNOWN: Final = "data of unknown kind"
"""Stands among the signatures of a device that has none, and is not blank all the same."""


def with_content(
    facts: DeviceFacts,
    superblock: Superblock | None,
    signatures: tuple[str, ...],
    remnant: Superblock | None = None,
    samples: str = "",
) -> DeviceFacts:
    """Return ``facts`` with what was read from the device.

    A super block belongs to another device if that one holds this one, if udev says so, or if this one is a RAID
    member: mirrors that keep their metadata at the end show their content on each member. (mkfs.xfs overwrites both
    ends of a device, so a drive that was formatted over an old member is none any more.)
    """
    member = bool(facts.holders) or facts.claimed or any(name.endswith("raid_member") for name in signatures)
    return replace(
        facts,
        superblock=None if member else superblock,
        shadow=superblock if member else None,
        signatures=signatures,
        remnant=remnant,
        samples=samples,
    )


def known_by_udev(facts: DeviceFacts) -> frozenset[str]:
    """Return the signatures that the udev database names.

    A partition inherits its disk's partition table type there without carrying one itself.
    """
    table = "" if udev_data.PART_NUMBER in facts.udev else facts.udev.get(udev_data.PART_TABLE_TYPE, "")
    return frozenset(filter(None, (facts.udev.get(udev_data.FS_TYPE, ""), table)))


def known_by_reading(facts: DeviceFacts) -> frozenset[str]:
    """Return the signatures that the agent read from the device itself."""
    return frozenset(facts.signatures) | ({FS_TYPE} if _visible(facts) else frozenset())


def signatures_of(facts: DeviceFacts) -> tuple[str, ...]:
    """Return all signatures, whoever found them, sorted; empty for a blank device."""
    return tuple(sorted(known_by_udev(facts) | known_by_reading(facts)))


def xfs_uuid(facts: DeviceFacts) -> str:
    """Return the UUID of the XFS on the device, or showing through it; what was read counts more than the database.

    Empty if there is none. To find a drive's device, take :attr:`.DeviceFacts.superblock` where it could be read.
    """
    if visible := _visible(facts):
        return visible.fsuuid
    is_xfs = facts.udev.get(udev_data.FS_TYPE) == FS_TYPE
    return facts.udev.get(udev_data.FS_UUID, "").lower() if is_xfs else ""


def _visible(facts: DeviceFacts) -> Superblock | None:
    return facts.superblock or facts.shadow


def looks_like_drive(facts: DeviceFacts) -> bool:
    """Tell whether the device carries an XFS with a label of DirectPV, of this installation or another."""
    if visible := _visible(facts):
        return visible.label in DRIVE_LABELS
    return bool(xfs_uuid(facts)) and facts.udev.get(udev_data.FS_LABEL, "") in DRIVE_LABELS
