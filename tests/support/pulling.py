"""Drives of a running stack that are pulled out, and their devices."""

import subprocess
from pathlib import Path

from directpv_cli.local.machine import disks
from support.cluster import Cluster


def agent(running: Cluster) -> str:
    return f"nodeagent-{running.stack.nodes[0].name}"


def device_of(running: Cluster, fsuuid: str) -> str:
    """Return the kernel name of the device that carries a drive."""
    names = [name for node in running.stack.nodes for name in node.devices]
    found = {name: disks.command("blkid", "-p", "-s", "UUID", "-o", "value", f"/dev/{name}") for name in names}
    return next(name for name, uuid in found.items() if uuid == fsuuid)


def pull(running: Cluster, device: str) -> str:
    """Take a loop device and its mounts away behind the agent's back; return its file."""
    file, number = (Path("/sys/block", device, path).read_text().strip() for path in ("loop/backing_file", "dev"))
    running.freeze(agent(running))
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if line.split(" ")[2] == number:
            subprocess.run(("umount", "-l", line.split(" ")[4]), check=True, capture_output=True, timeout=30)
    disks.command("losetup", "--detach", f"/dev/{device}")
    running.thaw(agent(running))
    return file
