"""Whether a file system with the same UUID is mounted from another device. Blocks."""

import os
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.signatures import open_device, read_superblock
from directpv_nodeagent.linux.mounts import all_mounts

_XFS: Final = "xfs"


def live_twin(fsuuid: str, device: str) -> str:
    """Return the source of a mounted XFS that carries ``fsuuid`` on another device that is there; empty if none does.

    XFS refuses to mount a UUID twice. That the first one's device is gone and only its dead mount is left, here or in
    a container, is the one case in which it may be told not to look (``nouuid``).

    Args:
        fsuuid: The file system.
        device: Path of the device that shall be mounted.
    """
    own = _number(device)
    others = {m.device: m.source for m in all_mounts().mounts if m.fs_type == _XFS and m.device != own}
    for number, source in others.items():
        if os.path.exists(f"/sys/dev/block/{number}") and _may_carry(fsuuid, number, source):
            return source
    return ""


def _number(device: str) -> str:
    found = os.stat(device).st_rdev
    return f"{os.major(found)}:{os.minor(found)}"


def _may_carry(fsuuid: str, number: str, source: str) -> bool:
    """Tell whether a mounted device carries the file system; what cannot be read may."""
    try:
        with open_device(source, number) as descriptor:
            block = read_superblock(descriptor, source)
    except DriveFault:
        return True
    return block is None or block.fsuuid == fsuuid
