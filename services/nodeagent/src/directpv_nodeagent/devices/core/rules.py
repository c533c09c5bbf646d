"""Which devices may become drives, and why the others may not.

Source: upstream's refusal rules, in its words and order; the last rules, from "Used as" on but for "Used by DirectPV",
and everything about signatures are ours.
"""

from collections.abc import Collection
from typing import Final

from directpv_common.protocol.messages import Device
from directpv_common.protocol.units import MIB
from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.signatures import looks_like_drive, signatures_of, xfs_uuid

MIN_SIZE: Final = 512 * MIB
USED: Final = "Used by DirectPV"
LOOKS_LIKE_DRIVE: Final = "looks like a DirectPV drive"


def denials(facts: DeviceFacts, *, registered: Collection[str], own: Collection[str]) -> tuple[str, ...]:
    """Return every reason why ``facts`` may not be formatted, not even by force; empty if it may.

    Args:
        facts: The device.
        registered: FSUUIDs that the registry knows as drives, of any node.
        own: FSUUIDs of the drives that this agent has, and ``major:minor`` of their devices: one whose super block is
            damaged looks blank, and holds volumes all the same.
    """
    fsuuid = _fsuuid(facts)
    rules = (
        ("Too small", facts.size < MIN_SIZE),
        ("Hidden", facts.hidden),
        ("Read only", facts.read_only),
        ("Partitioned", facts.partitioned),
        ("Held by other device", bool(facts.holders)),
        ("Mounted", bool(facts.mount_points)),
        ("Swap", facts.swap),
        ("CDROM", facts.cdrom),
        (f"Used as {', '.join(facts.users)}", bool(facts.users)),
        (f"No disk of this machine: {facts.unsuited}", bool(facts.unsuited)),
        (f"Not ready: {facts.not_ready}", bool(facts.not_ready)),
        (f"Another path to the disk of {facts.path_of}; set up multipath, or use that one", bool(facts.path_of)),
        (USED, facts.major_minor in own or (bool(fsuuid) and (fsuuid in registered or fsuuid in own))),
        (f"Not readable: {facts.unreadable}", bool(facts.unreadable)),
        ("Not read yet", facts.pending),
    )
    return tuple(reason for reason, applies in rules if applies)


def carries(facts: DeviceFacts) -> str:
    """Return in words what formatting ``facts`` would destroy; empty for a blank device."""
    text = ", ".join(signatures_of(facts))
    if facts.remnant is not None:
        label = facts.remnant.label or "no label"
        return (
            f"{text} (an XFS whose start was overwritten; its backup super blocks say {label}, {facts.remnant.fsuuid})"
        )
    return f"{text} ({LOOKS_LIKE_DRIVE})" if looks_like_drive(facts) else text


def _fsuuid(facts: DeviceFacts) -> str:
    """Return the UUID of the XFS on the device, or of the one that was there before its start was overwritten."""
    return xfs_uuid(facts) or (facts.remnant.fsuuid if facts.remnant else "")


def needs_force(facts: DeviceFacts) -> bool:
    """Tell whether only an explicit ``force`` may format the device: it carries something, known or not."""
    return bool(signatures_of(facts))


def describe(facts: DeviceFacts, node: str, *, registered: Collection[str], own: Collection[str]) -> Device:
    """Return ``facts`` as ``discover`` shows them; ``fs_type`` names all signatures, comma-separated."""
    return Device(
        name=facts.name,
        id=device_id(facts, node),
        major_minor=facts.major_minor,
        size=facts.size,
        make=facts.make,
        fs_type=carries(facts),
        fsuuid=_fsuuid(facts),
        denied=denials(facts, registered=registered, own=own),
        needs_force=needs_force(facts),
    )
