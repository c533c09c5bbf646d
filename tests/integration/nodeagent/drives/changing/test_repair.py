"""Repair: real xfs_repair on real damage, and what happens to the drive whatever becomes of it."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, Fenced, NotFound
from directpv_common.protocol.messages import (
    DriveStatus,
    Empty,
    Fence,
)
from integration.nodeagent.faults import shut_down
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, wait_until
from integration.nodeagent.repairing import (
    BLOCK,
    SECTOR,
    begin,
    break_drive,
    damage_unseen,
    ended,
    equal,
    geometry,
    has_status,
    kinds,
    read,
    repaired,
    status_of,
    told,
    unmounted,
    write,
)
from support.node_client import FENCE, Client, eventually


@contextlib.contextmanager
def out_of_sight(drive: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have a process with all mounts of its own, that of the drive among them."""
    hidden = subprocess.Popen(("unshare", "--mount", "--propagation", "private", "sleep", "60"))
    try:
        path = f"/proc/{hidden.pid}/mountinfo"
        wait_until(lambda: drive in Path(path).read_text() and os.readlink(f"/proc/{hidden.pid}/ns/mnt")
                   != os.readlink("/proc/self/ns/mnt"), "mounted in the other namespace")  # fmt: skip
        yield hidden
    finally:
        hidden.kill()
        hidden.wait()


class TestRepair:
    async def test_a_drive_that_is_well_is_found_clean_and_mounted_again_with_all_that_is_on_it(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        events = await told(client.bus)
        await client.make_volume(drive, "pvc-1")
        before = await client.held(drive)

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Clean", 0, "Ready")
        assert "done" in outcome.output
        held = await client.held(drive)
        assert held.record == before.record
        assert [volume.record.name for volume in held.volumes] == ["pvc-1"]
        await client.stage("pvc-1", pods / "s")
        wanted = ["repairing", "repair-ended", "ready", "repaired"]
        await eventually(lambda: equal(kinds(events)[-4:], wanted), "told")
        (last,) = [event for event in events if event.type.endswith(".repaired")]
        assert (last.data["exit_status"], last.data["status"]) == (0, "Ready")

    async def test_a_dry_run_of_a_well_drive_says_that_a_repair_would_change_nothing_and_is_no_error(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        events = await told(client.bus)
        before = await client.held(drive)

        dry = await repaired(client, drive, dry_run=True)

        assert (dry.outcome, dry.exit_status, dry.status) == ("Clean", 0, "Ready")
        assert "would change nothing" in dry.message
        assert (await client.held(drive)).record == before.record
        await eventually(lambda: equal(kinds(events)[-1:], ["checked"]), "told")
        seen = kinds(events)
        assert seen[seen.index("repairing") :] == ["repairing", "check-ended", "checked"]

    async def test_damage_is_found_by_a_dry_run_which_repairs_nothing_and_a_lost_root_is_told_with_where_the_data_is(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (agent.root / "mnt" / drive / "pvc-1/file").write_bytes(b"precious" * 1000)
        device = await break_drive(agent, loops, client, drive)
        at = geometry(device)["rootino"] * BLOCK // (1 << geometry(device)["inopblog"])

        dry = await repaired(client, drive, dry_run=True)

        assert (dry.outcome, dry.exit_status, dry.status) == ("Damaged", 1, "Error")
        assert "repair" in dry.message
        assert read(device, at) == b"\xa5" * 512
        wet = await repaired(client, drive)
        assert (wet.outcome, wet.exit_status, wet.status) == ("Failed", 4, "Error")
        assert "lost+found" in wet.message
        assert "cleared root inode" in wet.output

    async def test_damage_that_leaves_the_root_directory_is_repaired_and_the_drive_is_ready_with_its_data(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        root = agent.root / "mnt" / drive
        (root / "pvc-1/file").write_bytes(b"precious" * 1000)
        (device,) = loops.attached
        agent.freeze()
        unmounted(agent, drive)
        damage_unseen(device)
        agent.go_on()
        await has_status(client, drive, DriveStatus.ERROR)

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Repaired", 4, "Ready"), outcome
        assert (root / "pvc-1/file").read_bytes() == b"precious" * 1000

    async def test_a_damaged_first_super_block_is_repaired_from_its_backups(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        await client.make_volume(drive, "pvc-1")
        agent.freeze()
        unmounted(agent, drive)
        write(device, 0, bytes(SECTOR))
        agent.go_on()
        await has_status(client, drive, DriveStatus.ERROR)
        (shown,) = (await client.ask(Node.DEVICE_LIST, Empty())).devices
        assert "Used by DirectPV" in shown.denied

        outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.status) == ("Repaired", "Ready"), outcome
        assert [volume.record.name for volume in (await client.held(drive)).volumes] == ["pvc-1"]

    async def test_a_log_that_cannot_be_replayed_needs_force(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        await make_unreplayable(agent, device, drive, client)

        refused = await repaired(client, drive)

        assert (refused.outcome, refused.exit_status, refused.status) == ("Failed", 2, "Error"), refused
        assert "--force" in refused.message
        forced = await repaired(client, drive, force=True)
        assert (forced.outcome, forced.status) == ("Repaired", "Ready"), forced

    async def test_a_log_that_can_be_replayed_is_not_thrown_away_and_needs_no_force(
        self, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        device = loops.make()
        agent.extra = ("--scan-interval=1000",)
        agent.start(device)
        drive = await client.make_drive(device)
        path = agent.root / "mnt" / drive / "precious"
        path.write_bytes(b"precious")
        run("sync", str(path))
        shut_down(agent.root / "mnt" / drive, flush_log=True)

        outcome = await repaired(client, drive, force=True)

        assert (outcome.outcome, outcome.exit_status, outcome.status) == ("Clean", 0, "Ready"), outcome
        assert path.read_bytes() == b"precious"


async def make_unreplayable(agent: AgentProcess, device: str, drive: str, client: Client) -> None:
    root = agent.root / "mnt" / drive
    agent.freeze()
    for number in range(200):
        (root / f"file-{number}").write_bytes(b"x" * 5000)
    os.sync()
    for number in range(0, 200, 2):
        (root / f"file-{number}").unlink()
    shut_down(root, flush_log=True)
    unmounted(agent, drive)
    for group in range(4):
        write(device, group * geometry(device)["agblocks"] * BLOCK + SECTOR, b"\xa5" * SECTOR)
    agent.go_on()
    await has_status(client, drive, DriveStatus.ERROR)


class TestRefusals:
    async def test_a_drive_in_use_is_left_mounted_and_the_error_names_volume_and_path(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        before = await client.held(drive)

        with pytest.raises(FailedPrecondition, match=f"pvc-1 at {pods}/s"):
            await begin(client, drive)
        with pytest.raises(FailedPrecondition):
            await begin(client, drive, dry_run=True, force=True)

        assert await client.held(drive) == before
        assert (pods / "s").is_mount()

    async def test_a_drive_with_an_open_file_is_not_unmounted_behind_its_user(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        with (agent.root / "mnt" / drive / "mine").open("wb") as file:
            outcome = await repaired(client, drive)

            assert (outcome.outcome, outcome.status, outcome.exit_status) == ("Failed", "Ready", None)
            assert "fuser -vm" in outcome.message
            file.write(b"still there")
        assert (agent.root / "mnt" / drive / "mine").read_bytes() == b"still there"

    async def test_a_drive_that_is_mounted_out_of_sight_is_not_touched(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        with out_of_sight(drive) as hidden:
            outcome = await repaired(client, drive)

        assert (outcome.outcome, outcome.status, outcome.exit_status) == ("Failed", "Ready", None)
        assert "out of sight" in outcome.message
        assert f"{hidden.pid} (sleep)" in outcome.message
        assert (await repaired(client, drive)).outcome == "Clean"

    async def test_who_holds_the_device_for_a_moment_only_is_waited_for(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        """As a container does that is being started: it has all that is mounted, until it has a root of its own."""
        with out_of_sight(drive):
            begun = await begin(client, drive, dry_run=True)
            assert begun.outcome == "Running"
            wait_until(lambda: mounts_below(agent.root / "mnt") == [], "unmounted")

        status = await ended(client, drive)
        assert (status.outcome, status.status) == ("Clean", "Ready"), status.message

    async def test_a_lost_drive_an_unknown_one_and_copies_are_refused_with_advice(
        self, agent: AgentProcess, loops: Loops, drive: str, client: Client
    ) -> None:
        (device,) = loops.attached
        with pytest.raises(NotFound, match="by hand"):
            await begin(client, str(uuid.uuid4()))
        with pytest.raises(NotFound, match="no repair"):
            await status_of(client, drive)
        unmounted(agent, drive)
        wait_until(lambda: mounts_below(agent.root / "mnt") != [], "mounted again")
        agent.freeze()
        unmounted(agent, drive)
        loops.detach(device)
        agent.go_on()
        await has_status(client, drive, DriveStatus.LOST)

        with pytest.raises(FailedPrecondition, match="plug it in"):
            await begin(client, drive)
        assert (await client.held(drive)).record.status is DriveStatus.LOST

    async def test_an_order_of_a_leader_that_was_replaced_is_refused(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1")

        with pytest.raises(Fenced):
            await begin(client, drive, fence=Fence(registry=FENCE.registry, epoch=0))
