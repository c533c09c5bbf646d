"""Tables of the kernel that tell which devices are in use, beside the mount table. Pure parsers.

Source: proc(5) for swaps; the CD-ROM driver's ``info`` file.
"""

from directpv_nodeagent.linux.core.mountinfo import unescape


def parse_swaps(text: str) -> list[str]:
    """Read ``/proc/swaps``: paths of active swap areas, devices and files."""
    return [unescape(line.split()[0]) for line in text.splitlines()[1:] if line.strip()]


def parse_cdroms(text: str) -> frozenset[str]:
    """Read ``/proc/sys/dev/cdrom/info``: kernel names of optical drives."""
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(name for key, _, names in lines if key.strip() == "drive name" for name in names.split())
