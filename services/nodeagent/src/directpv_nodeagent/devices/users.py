"""Who uses a device as it is, without a file system of the host: loop devices over it, and raw block volumes of pods.

Neither is a holder to the kernel, and an exclusive open succeeds beside both. Kubelet keeps a loop device over each raw
block volume, of whatever CSI driver, and a bind mount of its device file. Blocking, but reads no device's content.
"""

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from directpv_nodeagent.devices.loops import behind
from directpv_nodeagent.devices.sysfs import Roots, names_in
from directpv_nodeagent.linux.core.mountinfo import Mount, parse

_DEVICE_FILES: Final = frozenset({"devtmpfs", "tmpfs"})
_RAW_VOLUMES: Final = "/volumeDevices/"
"""In every path where kubelet, or a CSI driver for it, puts the device file of a raw block volume."""


def read_users(roots: Roots) -> dict[str, tuple[str, ...]]:
    """Return who uses devices as they are, in words, by ``<major>:<minor>``."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in names_in(roots.sys / "class/block"):
        if name.startswith("loop") and (shown := behind(roots, name)) and shown.number:
            found[shown.number].add(f"loop device {name}")
    for process in ("self", "1"):
        for mount in _device_mounts(roots, process):
            if number := _number(f"{roots.proc}/{process}/root{mount.path}"):
                found[number].add(f"raw block volume at {mount.path}")
    return {number: tuple(sorted(users)) for number, users in found.items()}


def _device_mounts(roots: Roots, process: str) -> Iterable[Mount]:
    """Return the mounts that can be a device file: of one file, not of a whole file system."""
    with contextlib.suppress(OSError, ValueError):
        table = parse((roots.proc / process / "mountinfo").read_text(errors="surrogateescape"))
        for mount in table.mounts:
            if mount.root != "/" and (mount.fs_type in _DEVICE_FILES or _RAW_VOLUMES in mount.path):
                yield mount


def _number(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISBLK(found.st_mode) else ""
