"""Who can still write into a volume that is mounted nowhere any more holds up its last pass."""

import os
import subprocess
from pathlib import Path

import pytest

from directpv_common.protocol.messages import MoveState
from integration.nodeagent.moving.moving import INCARNATION, Leader


async def test_a_volume_is_not_sealed_while_a_process_has_a_file_of_it_open(leader: Leader, pods: Path) -> None:
    """An unmount may be lazy: who has files open goes on to write, and would write into what is given up."""
    await leader.make()
    await leader.client.stage("pvc-1", pods / "s", incarnation=INCARNATION)
    with open(pods / "s/log", "w") as file:
        await leader.client.unstage("pvc-1", pods / "s")
        status = await leader.until(lambda each: "open" in each.message, "it waits for the process")
        assert (status.state, f"{os.getpid()} (" in status.message) == (MoveState.WAITING, True), status.message
        file.write("the last line")

    await leader.copied()
    await leader.flip()
    assert (leader.path(leader.new) / "log").read_text() == "the last line"


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_volume_is_not_sealed_while_it_can_be_written_in_another_mount_namespace(
    leader: Leader, pods: Path, read_only: bool
) -> None:
    await leader.make()
    await leader.client.stage("pvc-1", pods / "s", incarnation=INCARNATION)
    remount = f"mount -o remount,bind,ro {pods}/s;" if read_only else ""
    keep = f"{remount} echo there; read word; [ {int(read_only)} = 1 ] || echo late > {pods}/s/file"
    container = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", keep],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert container.stdout is not None
        assert container.stdout.readline() == "there\n"
        await leader.client.unstage("pvc-1", pods / "s")
        if not read_only:
            await leader.until(lambda each: f"{container.pid} (sh)" in each.message, "it waits for the container")
        else:
            await leader.copied()
    finally:
        container.communicate("go\n", timeout=20)

    await leader.copied()
    await leader.flip()
    assert read_only or (leader.path(leader.new) / "file").read_text() == "late\n"
