"""Kinds of block devices that are no disks of this machine, by their kernel names: one table."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zram": "memory, whose content a restart of the machine loses",
        "ram": "memory, whose content a restart of the machine loses",
        "nbd": "a disk of another machine (network block device)",
        "rbd": "a disk of another machine (Ceph)",
        "drbd": "a replica that DRBD keeps",
        "zd": "a volume of ZFS",
    }
)
"""Prefix of the name, before its number, to what it is."""
_NAME: Final = re.compile(r"([a-z]+)\d")


def unsuited(name: str, patterns: Sequence[str]) -> str:
    """Return why a device of its kind is not offered; empty if it is.

    Whoever names the kind in a pattern of the agent's ``--devices`` (``nbd*``) knows what is behind it.
    """
    found = _NAME.match(name)
    prefix = found.group(1) if found else ""
    kind = KINDS.get(prefix, "")
    if not kind or any(pattern.startswith(prefix) for pattern in patterns):
        return ""
    return f"{kind}; start the node agent with --devices={prefix}* among its patterns to use it all the same"
