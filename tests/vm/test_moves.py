"""A volume that moves to another drive under a kernel that enforces project quota: all of it arrives, and its limit."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from directpv_common.protocol.messages import MoveState
from directpv_common.protocol.names import DRIVE, project_id
from integration.nodeagent.moving.moving import Leader
from support.guest.kubelet import Kubelet
from support.guest.lab import Lab
from support.guest.node import ROOT, Node
from support.node_client import MIB

SIZE = 48 * MIB
SLACK = 64 * 1024
"""Bytes that directories may take of the limit."""
TESTS = Path(__file__).resolve().parent.parent
FILL = """
import os, pathlib, subprocess, sys
top = pathlib.Path(sys.argv[1])
(top / "deep/er").mkdir(parents=True)
(top / "deep/er/file").write_bytes(os.urandom(6 << 20))
os.link(top / "deep/er/file", top / "same")
(top / "away").symlink_to("/etc/shadow")
os.mkfifo(top / "pipe", 0o640)
with open(top / "holes", "wb") as file:
    file.truncate(32 << 20)
    file.seek(20 << 20)
    file.write(b"data")
(top / "owned").write_text("owned")
os.chown(top / "owned", 1234, 5678)
os.chmod(top / "owned", 0o4750)
os.utime(top / "owned", ns=(1, 1_000_000_123))
os.setxattr(top / "same", "user.colour", b"blue\\0green")
os.setxattr(top / "deep", "trusted.of-root", b"1")
subprocess.run(["setfacl", "-m", "u:4242:rwx,d:g:4343:rx", str(top / "deep")], check=True)
os.chown(top, 999, 998)
os.chmod(top, 0o2770)
os.sync()
"""
SHOW = """
import hashlib, json, pathlib, sys
sys.path.insert(0, sys.argv[2])
from integration.nodeagent.moving.moving import snapshot
found = snapshot(pathlib.Path(sys.argv[1]))
for entry in found.values():
    if "data" in entry:
        entry["data"] = hashlib.sha256(entry["data"]).hexdigest()
print(json.dumps(found, default=repr, sort_keys=True))
"""


async def shown(node: Node, path: str) -> dict[str, Any]:
    """Return all that can be seen of a tree in the guest."""
    text = await node.hand.run(sys.executable, "-c", SHOW, path, str(TESTS))
    found: dict[str, Any] = json.loads(text)
    return found


async def project_of(node: Node, path: str) -> int:
    return int((await node.hand.run("xfs_io", "-r", "-c", "lsproj", path)).rpartition("=")[2])


async def limits_on(node: Node, drive: str) -> dict[int, tuple[int, int]]:
    """Return per project id of a drive the KiB in use and the limit, without projects that have neither."""
    text = await node.hand.run("xfs_quota", "-x", "-c", "report -p -b -n -N", f"{ROOT}/mnt/{drive}")
    rows = [line.split() for line in text.splitlines() if line.startswith("#")]
    found = {int(row[0][1:]): (int(row[1]), int(row[3])) for row in rows}
    return {project: both for project, both in found.items() if project and any(both)}


@pytest.mark.timeout(240)
async def test_a_volume_that_moves_while_its_agent_is_killed_arrives_whole_and_its_limit_binds_there(lab: Lab) -> None:
    node, _, (old, new) = await lab.node_with_drives(drives=2)
    leader = Leader(node.client, SimpleNamespace(root=Path(ROOT)), old, new)  # type: ignore[arg-type]
    leader.record = replace(leader.record, capacity=SIZE)
    await leader.make()
    pod = Kubelet(node, leader.record)
    await pod.start()
    await node.hand.run(sys.executable, "-c", FILL, pod.target)

    await leader.until(lambda status: status.state is MoveState.COPYING and status.done > 0, "it copies", limit=MIB)
    await node.restart_agent()
    await leader.waiting()
    await node.hand.sh(f"printf later > {pod.target}/later; printf changed > {pod.target}/owned; sync")
    before = await shown(node, pod.target)
    await pod.stop()
    await leader.copied()
    await node.restart_agent()
    await leader.copied()
    moved = await leader.flip()
    await leader.retired()

    after = Kubelet(node, moved)
    after.context[DRIVE] = old  # as its PersistentVolume says for ever
    await after.start()
    assert await shown(node, after.target) == before
    assert before["later"]["data"] == hashlib.sha256(b"later").hexdigest()
    blocks = int(await node.hand.run("stat", "-c", "%b", f"{after.target}/holes"))
    assert blocks < 100, "holes stay holes"
    project = project_id("pvc-1")
    for path in ("", "/deep", "/deep/er/file", "/holes", "/later"):
        assert await project_of(node, after.target + path) == project, path
    assert (await limits_on(node, new))[project][1] == SIZE // 1024
    assert project not in await limits_on(node, old), "nothing of it is left there"

    size, available = await after.space()
    assert size == SIZE
    assert SIZE - 8 * MIB <= available < SIZE - 6 * MIB, "what it holds counts, and counts once"
    assert available - SLACK <= await after.fill("more") <= available
