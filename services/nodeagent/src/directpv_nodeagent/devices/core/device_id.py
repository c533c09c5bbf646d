"""The identity of a device between discover and init: it changes when anything about the device does.

Source: upstream's device id, a hash over sorted ``key:value`` lines. Two are ours, and not there for blank devices,
whose ids are upstream's: ``signatures``, when the device itself shows something that the udev database does not know
(no database, or a stale one), and ``samples``, when it carries anything: who lets it be formatted over saw what it was.
"""

import base64
import hashlib
from collections.abc import Iterable

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.signatures import known_by_reading, known_by_udev, xfs_uuid
from directpv_nodeagent.devices.core.udev_data import FS_UUID, udev_text


def device_id(facts: DeviceFacts, node: str) -> str:
    """Return ``<major:minor>$<base64 of SHA-256>`` for ``facts`` on ``node``."""
    lines = {
        "cdrom": _flag(facts.cdrom),
        "dmname": facts.dm_name,
        "hidden": _flag(facts.hidden),
        "holders": _list(facts.holders),
        "majorminor": facts.major_minor,
        "mountpoints": _list(facts.mount_points),
        "name": facts.name,
        "node": node,
        "partitioned": _flag(facts.partitioned),
        "readonly": _flag(facts.read_only),
        "removable": _flag(facts.removable),
        "size": str(facts.size),
        "swapon": _flag(facts.swap),
        "udevdata": udev_text(facts.udev),
    }
    unknown = _unknown_to_udev(facts)
    if unknown:
        lines["signatures"] = _list(unknown)
    if facts.samples:
        lines["samples"] = facts.samples
    text = "\n".join(f"{key}:{value}" for key, value in sorted(lines.items()))
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    return f"{facts.major_minor}${base64.b64encode(digest).decode()}"


def number_of(identity: str) -> str | None:
    """Return the ``<major>:<minor>`` that a device id begins with; None if it is no device id."""
    number, dollar, digest = identity.partition("$")
    major, colon, minor = number.partition(":")
    whole = dollar and digest and colon and major.isdecimal() and minor.isdecimal() and number.isascii()
    return number if whole else None


def _unknown_to_udev(facts: DeviceFacts) -> set[str]:
    """Return what the device shows and the database does not."""
    unknown = set(known_by_reading(facts) - known_by_udev(facts))
    fsuuid = xfs_uuid(facts)
    if fsuuid and fsuuid != facts.udev.get(FS_UUID, "").lower():
        unknown.add(fsuuid)
    return unknown


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _list(values: Iterable[str]) -> str:
    return ",".join(sorted(values))
