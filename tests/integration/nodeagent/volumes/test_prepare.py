"""The leader's order "prepare": durable, idempotent, fenced, and harmless to everything else."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import DriveFault, FailedPrecondition, Fenced
from directpv_common.protocol.messages import DriveRecord, Fence, UpdateDrive, VolumeRecord
from directpv_common.protocol.names import AccessTier, project_id
from directpv_common.protocol.subjects import Subjects
from directpv_common.protocol.wire import encode
from directpv_nodeagent.linux import quota
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess
from integration.nodeagent.orders import UNKNOWN, mark, path_of, record_file
from support.node_client import MIB, Client, eventually


class TestPrepare:
    async def test_directory_project_id_and_record_are_on_the_drive_when_it_is_answered(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", claim_id="c", labels={"a": "b"})

        directory = path_of(agent, drive) / "pvc-1"
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            assert quota.attributes(descriptor).belongs_to(project_id("pvc-1"))
        finally:
            os.close(descriptor)
        assert directory.stat().st_mode & 0o7777 == 0o755
        kept = json.loads(record_file(agent, drive, "pvc-1").read_bytes())
        assert (kept["capacity"], kept["claim_id"], kept["labels"]) == (20 * MIB, "c", {"a": "b"})

    async def test_a_repeat_keeps_the_data_and_never_shrinks(
        self, agent: AgentProcess, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", mib=20)
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")

        await client.make_volume(drive, "pvc-1", mib=10, labels={"new": "label"})

        (held,) = (await client.held(drive)).volumes
        assert (held.record.capacity, held.record.labels) == (20 * MIB, {"new": "label"})
        assert (path_of(agent, drive) / "pvc-1/data").read_text() == "kept"

    async def test_one_volume_that_does_not_fit_spoils_no_other(self, drive: str, client: Client) -> None:
        failed = await client.prepare(
            VolumeRecord(name="small", fsuuid=drive, capacity=MIB),
            VolumeRecord(name="huge", fsuuid=drive, capacity=10**12),
            VolumeRecord(name="lost", fsuuid=UNKNOWN, capacity=MIB),
        )

        assert failed.keys() == {"huge", "lost"}
        assert "left" in failed["huge"]
        assert [v.record.name for v in (await client.held(drive)).volumes] == ["small"]

    async def test_volumes_asked_at_once_never_exceed_the_drive(self, drive: str, client: Client) -> None:
        record = (await client.held(drive)).record
        each = (record.total - record.overhead) // 4

        outcome = await asyncio.gather(
            *(client.prepare(VolumeRecord(name=f"v{n}", fsuuid=drive, capacity=each)) for n in range(10))
        )

        assert sum(failed == {} for failed in outcome) == 4

    async def test_a_replaced_leader_is_refused(self, drive: str, client: Client) -> None:
        await client.prepare(fence=Fence(registry="r", epoch=7))

        with pytest.raises(Fenced):
            await client.prepare(VolumeRecord(name="v", fsuuid=drive, capacity=MIB), fence=Fence(registry="r", epoch=6))
        with pytest.raises(Fenced):
            await client.remove(drive, "v", fence=Fence(registry="r", epoch=6))
        assert (await client.held(drive)).volumes == ()

    @pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x.deleted", "a\0b", "n" * 129, ""])
    async def test_names_that_could_leave_the_drive_do_nothing(
        self, agent: AgentProcess, drive: str, client: Client, name: str
    ) -> None:
        before = sorted(path.name for path in path_of(agent, drive).iterdir())
        body = {"records": [{"name": name, "fsuuid": drive, "capacity": MIB}], "fence": {"registry": "r", "epoch": 1}}
        removal = {"name": name, "fsuuid": drive, "fence": {"registry": "r", "epoch": 1}}

        for verb, message in (("prepare", body), ("remove", removal)):
            subject = Subjects().node("n1", "volume", verb)
            reply = await client.bus.client.request(subject, encode(message), timeout=10)
            refused = (reply.headers or {}).get("Nats-Service-Error-Code") == "400"
            assert refused or name in json.loads(reply.data)["failed"]

        assert sorted(path.name for path in path_of(agent, drive).iterdir()) == before

    async def test_a_volume_whose_directory_vanished_is_not_made_anew_and_empty(
        self, agent: AgentProcess, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        (path_of(agent, drive) / "pvc-1").rmdir()

        failed = await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=30 * MIB))

        assert "gone" in failed["pvc-1"]
        with pytest.raises(Exception, match="gone"):
            await client.stage("pvc-1", pods / "s")
        assert not (path_of(agent, drive) / "pvc-1").exists()

    @pytest.mark.parametrize("left", [b"", b"{", None])
    async def test_a_volume_whose_record_is_damaged_is_neither_destroyed_nor_shown_in_place_of_another(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path, left: bytes | None
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="bb")
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")
        agent.kill(signal.SIGKILL)
        record = record_file(agent, drive, "pvc-1")
        record.unlink() if left is None else record.write_bytes(left)
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")

        assert await client.removed(drive, "pvc-1", incarnation="aa"), "the earlier one of that name is gone"
        anew = VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, incarnation="cc")
        assert "earlier volume" in (await client.prepare(anew))["pvc-1"]
        with pytest.raises(FailedPrecondition, match="earlier volume"):
            await client.stage("pvc-1", pods / "s", incarnation="cc", fsuuid=drive, capacity=20 * MIB)

        await client.stage("pvc-1", pods / "s", incarnation="bb", fsuuid=drive, capacity=20 * MIB)
        assert (pods / "s/data").read_text() == "kept"
        await client.unstage("pvc-1", pods / "s")
        await client.remove(drive, "pvc-1", incarnation="bb")
        assert not (path_of(agent, drive) / "pvc-1").exists()

    async def test_a_mark_that_an_earlier_version_left_behind_is_brought_up_to_date(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="bb")
        agent.kill(signal.SIGKILL)
        held = mark(agent, drive, "held", "pvc-1")
        held.unlink()
        held.symlink_to("aa")  # it removed that one, and made the name anew, without a look at marks
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")
        assert os.readlink(held) == "bb"

    async def test_what_a_person_put_aside_is_not_destroyed_with_a_later_volume_of_its_name(
        self, agent: AgentProcess, device: str, drive: str, client: Client
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        (path_of(agent, drive) / "pvc-1/data").write_text("kept")
        agent.kill(signal.SIGKILL)
        record_file(agent, drive, "pvc-1").unlink()
        aside = (path_of(agent, drive) / "pvc-1").rename(path_of(agent, drive) / "pvc-1.deleted")
        agent.start(device)
        await agent.answers(client)
        await client.drive_when(drive, is_ready, "the drive was read")

        assert await client.removed(drive, "pvc-1", incarnation="bb"), "it was never made"

        assert (aside / "data").read_text() == "kept"

    async def test_a_volume_of_which_directory_and_record_are_gone_is_not_staged_empty_either(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        for incarnation in ("aa", ""):
            with pytest.raises(DriveFault, match=r"directory of pvc-1 is gone.*put it back"):
                await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB, incarnation=incarnation)
            record = VolumeRecord(name="pvc-1", fsuuid=drive, capacity=20 * MIB, incarnation=incarnation)
            assert "gone" in (await client.prepare(record))["pvc-1"]
        assert not (path_of(agent, drive) / "pvc-1").exists()

        assert await client.removed(drive, "pvc-1")
        await client.make_volume(drive, "pvc-1")

    async def test_a_later_volume_is_made_under_the_name_of_one_that_vanished(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1", incarnation="aa")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB, incarnation="bb")
        with pytest.raises(FailedPrecondition, match="another volume of that name"):
            await client.stage("pvc-1", pods / "t", fsuuid=drive, capacity=20 * MIB, incarnation="aa")

    async def test_volumes_that_an_earlier_version_made_are_known_by_name_after_one_start(
        self, agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.make_volume(drive, "pvc-1")
        agent.kill(signal.SIGKILL)
        mark(agent, drive, "held", "pvc-1").unlink()
        mark(agent, drive, "held", "").rmdir()
        agent.start(device)
        await agent.answers(client)
        await eventually(client.inventory, "the drive was looked at")
        agent.kill(signal.SIGKILL)
        (path_of(agent, drive) / "pvc-1").rmdir()
        record_file(agent, drive, "pvc-1").unlink()
        agent.start(device)
        await agent.answers(client)

        with pytest.raises(DriveFault, match="directory of pvc-1 is gone"):
            await client.stage("pvc-1", pods / "s", fsuuid=drive, capacity=20 * MIB)

    async def test_a_link_in_place_of_a_volume_is_not_followed(
        self, agent: AgentProcess, drive: str, client: Client, base: Path, pods: Path
    ) -> None:
        (base / "victim").mkdir()
        (path_of(agent, drive) / "pvc-1").symlink_to(base / "victim")

        failed = await client.prepare(VolumeRecord(name="pvc-1", fsuuid=drive, capacity=MIB))

        assert "not a directory" in failed["pvc-1"]
        assert not record_file(agent, drive, "pvc-1").exists()


async def test_what_people_decide_about_a_drive_is_kept_on_it(
    agent: AgentProcess, device: str, drive: str, client: Client
) -> None:
    held = (await client.held(drive)).record
    wanted = DriveRecord(
        fsuuid=drive, node="n1", total=1, overhead=0, unschedulable=True, access_tier=AccessTier.HOT,
        labels={"example.com/rack": "7"},
    )  # fmt: skip

    await client.ask(Node.DRIVE_UPDATE, UpdateDrive(record=wanted, fence=Fence(registry="test", epoch=1)))
    agent.kill(signal.SIGKILL)
    agent.start(device)

    record = (await client.drive_when(drive, lambda held: held.readable, "drive is back")).record
    assert (record.unschedulable, record.access_tier, record.labels) == (True, "Hot", {"example.com/rack": "7"})
    assert (record.total, record.overhead) == (held.total, held.overhead)
