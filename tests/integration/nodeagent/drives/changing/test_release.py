"""Giving drives up: what stays on the disk, what the agent knows afterwards, and what a kill leaves to be done."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import FailedPrecondition, Fenced, NotFound
from directpv_common.protocol.messages import (
    Device,
    DriveReleased,
    DriveStatus,
    Empty,
    Fence,
    FormatDevice,
    FormatDevices,
    FormatResult,
    ReleaseDrive,
)
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run, wait_until
from integration.nodeagent.orders import UNKNOWN, path_of
from integration.nodeagent.repairing import told, unmounted
from support.node_client import FENCE, Client, eventually

EARLIER = "2026-01-02T03:04:05Z"
OTHER = Fence(registry="test", epoch=0)


async def release(client: Client, fsuuid: str, **flags: Any) -> DriveReleased:
    request = ReleaseDrive(**{"fsuuid": fsuuid, "fence": FENCE} | flags)
    return await client.ask(Node.DRIVE_RELEASE, request)  # type: ignore[no-any-return]


async def released(client: Client, fsuuid: str, **flags: Any) -> DriveReleased:
    """Give the order again and again, as a leader does, until it is carried out."""

    async def ask() -> DriveReleased | None:
        reply = await release(client, fsuuid, **flags)
        return reply if reply.released else None

    return await eventually(ask, "the drive is given up")  # type: ignore[no-any-return]


def frozen_in_a_wipe(agent: AgentProcess, drive: str, words: bytes = b"") -> Path:
    """Stop the agent as if it had just noted this of a wipe; return where it notes such things."""
    agent.freeze()
    run("umount", str(path_of(agent, drive)))
    wipes = agent.root / "wipes"
    wipes.mkdir()
    (wipes / drive).write_bytes(words)
    return wipes


async def shown(client: Client, name: str) -> Device:
    devices = (await client.ask(Node.DEVICE_LIST, Empty())).devices
    return next(device for device in devices if device.name == name)


async def known(client: Client) -> list[str]:
    return [held.record.fsuuid for held in (await client.inventory()).drives]


async def format_anew(client: Client, device: Device, *, force: bool) -> FormatResult:
    order = FormatDevices(devices=(FormatDevice(id=device.id, name=device.name, force=force),), fence=FENCE)
    return (await client.ask(Node.DEVICE_FORMAT, order)).results[0]  # type: ignore[no-any-return]


async def says(client: Client, device: str, words: str) -> bool:
    devices = (await client.ask(Node.DEVICE_LIST, Empty())).devices
    return any(words in shown.fs_type for shown in devices if shown.name == device)


def content(device: str) -> bytes:
    with open(f"/dev/{device}", "rb") as disk:
        return disk.read()


class TestGivingUp:
    async def test_a_drive_without_volumes_is_unmounted_and_its_device_is_offered_with_force_alone(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        events = await told(client.bus)
        reply = await release(client, drive)

        assert (reply.released, reply.noted) == (True, True)
        assert await known(client) == []
        assert mounts_below(agent.root / "mnt") == []
        offered = await shown(client, device)
        assert (offered.denied, offered.needs_force, offered.fsuuid) == ((), True, drive)
        assert "was removed from DirectPV at" in offered.fs_type
        assert "set force" in (await format_anew(client, offered, force=False)).error
        made = (await format_anew(client, offered, force=True)).drive
        assert made is not None
        assert await known(client) == [made.fsuuid]

        async def retired() -> list[Any]:
            return [event.data for event in events if event.type.endswith("drive.retired")]

        (data,) = await eventually(retired, "people are told what to do")
        assert "init with --dangerous" in data["advice"]

    async def test_a_drive_that_was_given_up_is_not_taken_over_by_a_restarted_agent_and_the_order_may_be_repeated(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await release(client, drive, since=EARLIER)
        assert f"was removed from DirectPV at {EARLIER}" in (await shown(client, device)).fs_type
        agent.kill()
        agent.start(device)
        await agent.answers(client)

        assert await known(client) == []
        assert mounts_below(agent.root / "mnt") == []
        reply = await released(client, drive)
        assert (reply.released, reply.noted) == (True, True)
        assert f"was removed from DirectPV at {EARLIER}" in (await shown(client, device)).fs_type

    async def test_a_drive_with_a_volume_is_refused_and_serves_on(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")

        with pytest.raises(FailedPrecondition, match="pvc-1"):
            await release(client, drive)

        assert (await client.held(drive)).record.status is DriveStatus.READY
        await client.stage("pvc-1", pods / "s")

    async def test_a_drive_that_somebody_has_files_of_open_is_refused_and_is_as_it_was(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        with (path_of(agent, drive) / ".directpv/meta.info").open("rb"):
            with pytest.raises(FailedPrecondition, match="busy"):
                await release(client, drive)
            held = await client.drive_when(drive, lambda held: held.readable, "the drive is read again")
            assert held.record.status is DriveStatus.READY
            assert held.record.retired == ""
        agent.kill()
        agent.start(device)
        await agent.answers(client)
        assert await known(client) == [drive]
        assert (await release(client, drive)).noted

    async def test_a_disk_that_is_away_is_forgotten_and_nothing_is_noted(
        self, agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client
    ) -> None:
        agent.freeze()
        unmounted(agent, drive)
        file = loops.detach(device)
        agent.go_on()
        await client.drive_when(drive, lambda held: held.record.status is DriveStatus.LOST, "it is lost")

        reply = await release(client, drive, since=EARLIER)

        assert (reply.released, reply.noted) == (True, False)
        assert await known(client) == []
        assert mounts_below(agent.root / "mnt") == []
        assert os.listdir(agent.root / "mnt") == []
        loops.attach_at(int(device.removeprefix("loop")), file)
        await eventually(
            lambda: says(client, device, f"at {EARLIER}, while it was away"), "the disk that is back is nobody's"
        )
        assert await known(client) == []

    async def test_an_unknown_drive_and_an_order_of_a_replaced_leader(self, drive: str, client: Client) -> None:
        assert not (await release(client, UNKNOWN)).noted
        with pytest.raises(Fenced):
            await release(client, drive, fence=OTHER)
        assert await known(client) == [drive]

    async def test_an_agent_that_is_killed_after_the_drive_knows_of_it_unmounts_it_when_asked_again(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        """Between the note and the unmount: written here by hand, as the agent writes it, while it stands still."""
        agent.freeze()
        record = path_of(agent, drive) / ".directpv/drive.json"
        record.write_text(record.read_text().replace("{", '{"retired": "2026-11-22T10:00:00Z",', 1))
        os.sync()
        agent.kill()
        agent.start(device)
        await agent.answers(client)
        assert await known(client) == []
        assert mounts_below(agent.root / "mnt") == [str(path_of(agent, drive))]

        assert (await released(client, drive)).noted

        assert mounts_below(agent.root / "mnt") == []
        assert "was removed" in (await shown(client, device)).fs_type


class TestLost:
    async def test_a_drive_that_is_away_goes_with_its_volumes_and_serves_them_no_more_when_it_is_back(
        self, agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.freeze()
        unmounted(agent, drive)
        file = loops.detach(device)
        agent.go_on()
        await client.drive_when(drive, lambda held: held.record.status is DriveStatus.LOST, "it is lost")

        assert (await release(client, drive, lost=True)).released

        assert await known(client) == []
        loops.attach_at(int(device.removeprefix("loop")), file)
        await eventually(lambda: says(client, device, "was removed"), "the disk that is back is nobody's")
        assert await known(client) == []
        with pytest.raises(NotFound):
            await client.stage("pvc-1", pods / "s")
        agent.kill()
        agent.start(device)
        await agent.answers(client)
        assert await known(client) == []
        offered = await shown(client, device)
        (why,) = offered.denied
        assert f"holds volumes (pvc-1); to have it back with them: kubectl directpv recover {drive}; if" in why
        refused = (await format_anew(client, offered, force=True)).error
        assert refused == f"device init not permitted; {why}"

    async def test_pods_of_a_drive_that_is_given_up_keep_their_mounts_until_they_end(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        await client.stage("pvc-1", pods / "s")
        (pods / "s/file").write_bytes(b"precious")

        assert (await released(client, drive, lost=True)).released

        assert await known(client) == []
        assert (pods / "s/file").read_bytes() == b"precious"
        await client.unstage("pvc-1", pods / "s")
        assert mounts_below(pods) == []


class TestWiping:
    @pytest.mark.parametrize("wipe", ["zero", "discard"])
    async def test_all_of_the_device_is_wiped_and_it_is_offered_as_a_blank_one(
        self, agent: AgentProcess, device: str, drive: str, client: Client, wipe: str
    ) -> None:
        (path_of(agent, drive) / ".directpv/secret").write_bytes(b"precious" * 100_000)
        os.sync()
        assert b"precious" in content(device)

        reply = await released(client, drive, wipe=wipe)

        assert reply.noted
        assert await known(client) == []
        assert os.listdir(agent.root / "mnt") == []
        assert content(device).count(0) == os.path.getsize(loop_file(device))

        async def blank() -> bool:
            offered = await shown(client, device)
            return (offered.denied, offered.needs_force, offered.fs_type) == ((), False, "")

        await eventually(blank, "udev, too, has looked at it, and it is offered")

    async def test_a_directory_that_nobody_knows_of_is_not_wiped(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        (path_of(agent, drive) / "by-hand").mkdir()

        with pytest.raises(FailedPrecondition, match="by-hand"):
            await release(client, drive, wipe="zero")

        held = await client.drive_when(drive, lambda held: held.readable, "the drive is read again")
        assert held.record.retired == ""
        assert (path_of(agent, drive) / "by-hand").is_dir()

    async def test_what_a_move_has_copied_is_not_wiped(self, agent: AgentProcess, drive: str, client: Client) -> None:
        """It may be all that is left of a volume."""
        copy = path_of(agent, drive) / ".directpv/incoming/pvc-1"
        copy.mkdir(parents=True)
        (copy / "file").write_text("kept")

        with pytest.raises(FailedPrecondition, match=r"\.directpv/incoming/pvc-1"):
            await release(client, drive, wipe="zero")

        assert (copy / "file").read_text() == "kept"

    async def test_a_wipe_that_is_killed_is_ended_by_the_same_order(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        """Killed after the first piece: the beginning still names the drive, all of its records may be gone."""
        wipes = frozen_in_a_wipe(agent, drive)
        with open(f"/dev/{device}", "r+b") as disk:
            disk.seek(4 * 1024 * 1024)
            disk.write(bytes(512 * 1024 * 1024))
        agent.kill(signal.SIGKILL)
        agent.start(device)
        await agent.answers(client)

        assert (await released(client, drive, wipe="zero")).released

        assert content(device).count(0) == os.path.getsize(loop_file(device))
        wait_until(lambda: list(wipes.iterdir()) == [], "nothing is left to be done")

    async def test_a_wipe_that_ended_has_ended_though_the_drive_is_still_taken_for_one_of_the_node(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        """As if a scan that had read the device before it was wiped had taken the drive in after that."""
        wipes = frozen_in_a_wipe(agent, drive, b"wiped")
        run("fallocate", "--zero-range", f"--length={os.path.getsize(loop_file(device))}", f"/dev/{device}")
        agent.go_on()

        assert (await released(client, drive, wipe="zero")).released

        wait_until(lambda: list(wipes.iterdir()) == [], "nothing is left to be done")
        assert (await release(client, drive, wipe="zero")).released, "a repeat finds it so"

    async def test_a_wipe_that_ended_before_anybody_was_told_is_known_to_have_ended_also_after_a_restart(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        assert not (await release(client, drive, wipe="zero")).released
        note = agent.root / "wipes" / drive
        wait_until(lambda: note.read_bytes() == b"wiped", "it is wiped")
        agent.kill(signal.SIGKILL)
        agent.start(device)
        await agent.answers(client)

        first, again = [await released(client, drive, wipe="zero") for _ in range(2)]

        assert first == again
        assert (first.noted, first.message) == (True, "the device was wiped")
        assert not note.exists()

    async def test_of_a_disk_that_is_pulled_while_it_is_wiped_it_is_not_said_that_it_was(
        self, agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client
    ) -> None:
        agent.freeze()
        unmounted(agent, drive)
        (agent.root / "wipes").mkdir()
        (agent.root / "wipes" / drive).touch()
        loops.detach(device)
        agent.kill(signal.SIGKILL)
        agent.start(device)
        await agent.answers(client)

        reply = await released(client, drive, wipe="zero")

        assert not reply.noted
        assert "its wipe was begun" in reply.message
        assert "wiped to its end, or pulled before" in reply.message


def loop_file(device: str) -> str:
    return Path(f"/sys/block/{device}/loop/backing_file").read_text().strip()
