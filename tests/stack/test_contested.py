"""A volume that two drives show is found by whoever looks whether all is well: status, explain, and CSI's health."""

import json
import shutil
from pathlib import Path

import pytest

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import MIB
from stack.running import drives, plugin
from support.cluster import Cluster, eventually

pytestmark = pytest.mark.timeout(240)


def copy_beside(running: Cluster, home: str, other: str, name: str = "pvc-1") -> None:
    """Put a copy of a volume onto another drive, both of a version that knew no incarnations."""
    mnt = Path(running.stack.nodes[0].root) / "mnt"
    shutil.copytree(mnt / home / name, mnt / other / name)
    record = json.loads((mnt / home / f".directpv/volumes/{name}.json").read_text()) | {"incarnation": ""}
    for drive in (home, other):
        (mnt / drive / ".directpv/volumes").mkdir(exist_ok=True)
        (mnt / drive / f".directpv/volumes/{name}.json").write_text(json.dumps(record | {"fsuuid": drive}))


@pytest.mark.parametrize("registry", ["kept", "lost"])
async def test_a_volume_that_two_drives_show_makes_the_installation_unhealthy(running: Cluster, registry: str) -> None:
    async with running.csi() as client:
        home = (await client.controller.CreateVolume(creation("pvc-1", 16 * MIB))).volume.volume_context[DRIVE]
    (other,) = set(await drives(running)) - {home}
    agent = f"nodeagent-{running.stack.nodes[0].name}"
    record = Path(running.stack.nodes[0].root) / "mnt" / home / ".directpv/volumes/pvc-1.json"
    await eventually(lambda: _exists(record), "its drive has it")
    running.kill(agent)
    running.kill("controller-1")
    copy_beside(running, home, other)
    if registry == "lost":
        for path in (running.stack.directory / "registry").iterdir():
            path.unlink()
    running.start(agent)
    running.start("controller-1")

    async def told() -> None:
        said = await plugin(running, "status")
        assert (said.returncode, "volume pvc-1 is shown by" in said.stderr) == (1, True), said.stderr

    await eventually(told, "status says so")
    said = await plugin(running, "explain", "volume", "pvc-1")
    if registry == "lost":
        assert (said.returncode, "is not in the registry, and is not served" in said.stdout) == (0, True), said.stderr
        assert "several drives have a volume of that name" in said.stdout
        assert "take the copy away" in said.stdout
    else:
        assert f"away from drive {other}" in said.stdout, said.stdout + said.stderr


async def _exists(path: Path) -> None:
    assert path.exists()
