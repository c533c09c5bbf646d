"""Drives that fail, vanish or come back under a running agent, on this machine's own kernel."""

import contextlib
import os
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import (
    HeldDrive,
    StatVolume,
    VolumeRecord,
)
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, unmount, unmount_below, wait_until
from support.node_client import MIB, Client, eventually


async def alive(path: Path) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False


class TestLoss:
    async def test_a_pulled_drive_is_lost_and_comes_back_under_another_name(
        self, agent: AgentProcess, loops: Loops, client: Client, pods: Path
    ) -> None:
        device, spare = loops.make(), loops.make()
        agent.start(device, spare)
        fsuuid = await client.make_drive(device)
        await client.make_volume(fsuuid, "pvc-1")
        unmount(agent.root / "mnt" / fsuuid)
        file, other = loops.detach(device), loops.detach(spare)
        lost = await client.drive_when(fsuuid, lambda held: held.record.status == "Lost", "lost")
        assert not lost.readable
        assert [v.record.name for v in lost.volumes] == ["pvc-1"]
        with pytest.raises(FailedPrecondition, match="Lost"):
            await client.stage("pvc-1", pods / "s")

        back = int(spare.removeprefix("loop"))
        loops.attach_at(back, file)
        held = await client.drive_when(fsuuid, is_ready, "ready again")

        assert held.record.device == spare
        await client.stage("pvc-1", pods / "s")
        assert other.exists()

    async def test_a_failed_file_system_is_mounted_anew_where_its_volumes_are_used(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        await client.publish("pvc-1", pods / "s", pods / "t", read_only=True)
        (pods / "s/file").write_text("kept")
        os.sync()
        shut_down(agent.root / "mnt" / drive)

        await eventually(lambda: alive(pods / "s"), "the staging path shows the volume again")

        await client.drive_when(drive, is_ready, "recovered without a restart")
        assert (pods / "t/file").read_text() == "kept"
        (pods / "s/file").write_text("written")
        assert os.statvfs(pods / "t").f_flag & os.ST_RDONLY
        await client.stage("pvc-1", pods / "s")

    async def test_a_failed_file_system_with_open_files_is_covered_and_mounted_anew_when_they_are_closed(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        with (pods / "s/file").open("w") as held:
            held.write("lost")
            shut_down(agent.root / "mnt" / drive)

            broken = await client.drive_when(
                drive, lambda held: any("files open" in c.message for c in held.record.conditions), "the cause is named"
            )
            assert broken.record.status == "Error"
            with pytest.raises(OSError, match="Read-only"):
                (pods / "s/other").touch()
            stats = await client.ask(Node.VOLUME_STATS, StatVolume(name="pvc-1", volume_path=str(pods / "s")))
            assert stats.abnormal
            assert drive in stats.condition
            with pytest.raises(FailedPrecondition):
                await client.stage("pvc-1", pods / "other")
            with contextlib.suppress(OSError):
                held.close()

        await client.drive_when(drive, is_ready, "recovered without a restart")
        (pods / "s/file").write_text("again")

    async def test_an_operation_that_meets_the_failure_first_says_so(
        self, agent: AgentProcess, loops: Loops, client: Client, pods: Path
    ) -> None:
        agent.extra = ("--scan-interval=1000",)
        device = loops.make()
        agent.start(device)
        fsuuid = await client.make_drive(device)
        await client.make_volume(fsuuid, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        shut_down(agent.root / "mnt" / fsuuid)

        failed = await client.prepare(VolumeRecord(name="pvc-2", fsuuid=fsuuid, capacity=MIB))

        assert fsuuid in failed["pvc-2"]
        assert (await client.held(fsuuid)).record.status == "Error"

    async def test_one_broken_drive_costs_no_other(
        self, agent: AgentProcess, loops: Loops, client: Client, pods: Path
    ) -> None:
        devices = [loops.make(), loops.make()]
        agent.start(*devices)
        bad, good = [await client.make_drive(device) for device in devices]
        await client.make_volume(bad, "on-bad")
        await client.stage("on-bad", pods / "b")
        with (pods / "b/file").open("wb", buffering=0):  # which keeps the failed file system from being mounted anew
            shut_down(agent.root / "mnt" / bad)
            await client.drive_when(bad, lambda held: held.record.status == "Error", "error noticed")

            await client.make_volume(good, "on-good")
            await client.stage("on-good", pods / "g")

            assert is_ready(await client.held(good))
            assert (await client.held(bad)).record.status == "Error"

    async def test_a_drive_unmounted_by_hand_is_mounted_again(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        unmount(agent.root / "mnt" / drive)

        wait_until(lambda: mounts_below(agent.root / "mnt" / drive) != [], "mounted again")
        await client.drive_when(drive, is_ready, "ready")

    async def test_a_copy_beside_a_mounted_drive_is_a_warning_and_the_drive_goes_on(
        self, agent: AgentProcess, loops: Loops, client: Client, pods: Path
    ) -> None:
        device, clone = loops.make(), loops.make()
        agent.start(device, clone)
        fsuuid = await client.make_drive(device)
        await client.make_volume(fsuuid, "pvc-1")
        os.sync()
        loops.clone(device, clone)

        def warned(held: HeldDrive) -> bool:
            return any(
                condition.type == "Duplicate" and clone in condition.message for condition in held.record.conditions
            )

        held = await client.drive_when(fsuuid, warned, "noticed")
        assert is_ready(held)
        agent.kill()
        agent.start(device, clone)
        held = await client.drive_when(fsuuid, warned, "noticed by the next agent")
        assert (is_ready(held), held.record.device) == (True, device)
        assert len(mounts_below(agent.root / "mnt")) == 1
        await client.stage("pvc-1", pods / "s")
        loops.detach(clone)

        await client.drive_when(fsuuid, lambda held: is_ready(held) and not held.record.conditions, "the warning ended")

    async def test_a_copy_does_not_take_the_place_of_a_drive_that_is_pulled_until_it_is_plugged_in_anew(
        self, agent: AgentProcess, loops: Loops, client: Client, pods: Path
    ) -> None:
        device, clone = loops.make(), loops.make()
        agent.start(device, clone)
        fsuuid = await client.make_drive(device)
        await client.make_volume(fsuuid, "pvc-1")
        os.sync()
        loops.clone(device, clone)
        await client.drive_when(fsuuid, lambda held: bool(held.record.conditions), "the copy is noticed")
        since = agent.root / "mnt" / fsuuid / "pvc-1/since"
        since.write_text("of the drive alone")
        os.sync()

        disk = loops.detach(device)
        lost = await client.drive_when(fsuuid, lambda held: held.record.status == "Lost", "it is lost")
        assert f"{clone}, which was a copy" in lost.record.conditions[0].message
        agent.kill()
        agent.start(device, clone)
        lost = await client.drive_when(fsuuid, lambda held: held.record.status == "Lost", "it is for the next agent")
        assert f"{clone}, which was a copy" in lost.record.conditions[0].message
        loops.attach_at(int(device.removeprefix("loop")), disk)
        await client.drive_when(fsuuid, is_ready, "it is back")
        assert since.read_text() == "of the drive alone"

        loops.detach(device)
        await client.drive_when(fsuuid, lambda held: held.record.status == "Lost", "it is lost again")
        loops.attach_at(int(clone.removeprefix("loop")), loops.detach(clone))
        held = await client.drive_when(fsuuid, is_ready, "the copy is the drive, as people want it")
        assert held.record.device == clone
        assert not since.exists()

    async def test_two_devices_with_one_fsuuid_of_which_none_is_mounted_are_an_error_until_one_is_gone(
        self, agent: AgentProcess, loops: Loops, client: Client
    ) -> None:
        device, clone = loops.make(), loops.make()
        agent.start(device, clone)
        fsuuid = await client.make_drive(device)
        agent.freeze()
        unmount_below(agent.root / "mnt")
        loops.clone(device, clone)
        agent.go_on()

        async def noticed() -> HeldDrive | None:
            """A look that was under way when the agent was frozen knows of one device, and mounts it once more.

            The other one may be known as its copy then, until it is plugged in anew.
            """
            held = await client.held(fsuuid)
            if held.record.status == "Error":
                return held
            if mounts_below(agent.root / "mnt"):
                agent.freeze()
                unmount_below(agent.root / "mnt")
                loops.attach_at(int(clone.removeprefix("loop")), loops.detach(clone))
                agent.go_on()
            return None

        held: HeldDrive = await eventually(noticed, "noticed")
        assert held.record.conditions[0].type == "MultipleMatches"
        agent.kill()
        agent.start(device, clone)
        held = await client.drive_when(fsuuid, lambda held: bool(held.record.conditions), "told by the next agent")
        assert (held.record.status, held.record.conditions[0].type) == ("Error", "MultipleMatches")
        assert mounts_below(agent.root / "mnt") == []
        loops.detach(clone)

        await client.drive_when(fsuuid, is_ready, "ready again")
