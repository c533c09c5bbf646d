"""What mount options of a storage class or PV mean for a volume: one table for gateway and node.

A volume is a directory of a shared file system, mounted by bind. So an option either belongs to one mount, or says what
DirectPV's drives have anyway or decide by themselves, or is for mount(8) alone; anything else cannot be granted.
Source: mount(8), "Filesystem-independent mount options"; xfs(5); mount_setattr(2).
"""

from collections.abc import Iterable
from typing import Final

_GROUPS: Final[dict[str, dict[str, str]]] = {
    "access": {"ro": "ro", "rw": ""},
    "suid": {"nosuid": "nosuid", "suid": ""},
    "dev": {"nodev": "nodev", "dev": ""},
    "exec": {"noexec": "noexec", "exec": ""},
    "atime": {
        "noatime": "noatime",
        "relatime": "relatime",
        "strictatime": "strictatime",
        "atime": "",
        "norelatime": "",
        "nostrictatime": "",
    },
    "diratime": {"nodiratime": "nodiratime", "diratime": ""},
}
"""Options of one mount: per group, of which the last one holds, the flag that each sets."""
_GROUP_OF: Final = {option: group for group, options in _GROUPS.items() for option in options}
_DEFAULTS: Final = ("rw", "suid", "dev", "exec")
"""What ``defaults`` stands for, as far as it belongs to one mount."""

_OF_MOUNT: Final = (
    "async auto noauto nofail nouser _netdev loud silent mand nomand iversion noiversion lazytime nolazytime"
)
_OF_XFS: Final = (
    "discard nodiscard inode32 inode64 nouuid largeio nolargeio swalloc attr2 noattr2 ikeep noikeep filestreams wsync "
    "noalign grpid nogrpid bsdgroups sysvgroups"
)
_OF_QUOTA: Final = "quota noquota usrquota uquota uqnoenforce grpquota gquota gqnoenforce prjquota pquota pqnoenforce"
_NO_MATTER: Final = frozenset(f"{_OF_MOUNT} {_OF_XFS} {_OF_QUOTA}".split())
"""Of the whole file system, which is mounted already, or for programs that mount by themselves: without effect here, as
in DirectPV v4."""
_NO_MATTER_WITH_VALUE: Final = frozenset({"allocsize", "logbufs", "logbsize", "sunit", "swidth"})
_COMMENT: Final = "x-"
"""Begins options that are for other programs, such as ``x-systemd.device-timeout=10``."""

POSSIBLE: Final = (*(option for options in _GROUPS.values() for option in options), "defaults")
"""Options that have an effect, for messages."""


def is_known(option: str) -> bool:
    """Tell whether an option may be asked for, with or without effect."""
    name, equals, _ = option.partition("=")
    if equals:
        return name in _NO_MATTER_WITH_VALUE or name.startswith(_COMMENT)
    return name in _GROUP_OF or name in _NO_MATTER or name == "defaults" or name.startswith(_COMMENT)


def flags_of(options: Iterable[str]) -> tuple[str, ...]:
    """Return the flags that a mount must have, sorted: of options that exclude each other the last one holds.

    Options without effect and unknown ones are left out.
    """
    flags: dict[str, str] = {}
    for option in options:
        for each in _DEFAULTS if option == "defaults" else (option,):
            if each in _GROUP_OF:
                group = _GROUP_OF[each]
                flags[group] = _GROUPS[group][each]
    return tuple(sorted(filter(None, flags.values())))
