"""Two drives have a volume of one name, as a move or a restored backup leaves them: which one is served, and when."""

import json
import shutil
from pathlib import Path

import pytest

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import HeldVolume
from integration.nodeagent.harness import AgentProcess, Loops, unmount, unmount_below
from support.node_client import MIB, Client, eventually


class Twice:
    """A volume with data on one drive, and an older copy of it on another; the agent has not seen the copy yet."""

    def __init__(self, agent: AgentProcess, client: Client, pods: Path, devices: list[str], drives: list[str]) -> None:
        self.agent, self.client, self.pods, self.devices = agent, client, pods, devices
        self.real, self.copy = drives

    def on(self, drive: str) -> Path:
        return self.agent.root / "mnt" / drive

    async def restart(self) -> None:
        self.agent.kill()
        self.agent.start(*self.devices)
        await self.agent.answers(self.client)
        await eventually(self.client.inventory, "the drives were looked at")

    async def told(self, drive: str) -> HeldVolume:
        (volume,) = (await self.client.held(drive)).volumes
        return volume

    async def mounted(self, **fields: object) -> str:
        """Stage and publish; return what the pod reads."""
        await self.client.stage("pvc-1", self.pods / "staging", **fields)
        await self.client.publish("pvc-1", self.pods / "staging", self.pods / "pod")
        return (self.pods / "pod/data").read_text()

    async def unmounted(self) -> None:
        await self.client.unpublish("pvc-1", self.pods / "pod")
        await self.client.unstage("pvc-1", self.pods / "staging")


@pytest.fixture
async def twice(agent: AgentProcess, loops: Loops, client: Client, pods: Path) -> Twice:
    devices = [loops.make(), loops.make()]
    agent.start(*devices)
    await agent.answers(client)
    # Drives are taken over in any order; the smaller id is the copy's in half of the runs, as in the field.
    made = Twice(agent, client, pods, devices, [await client.make_drive(device) for device in devices])
    await client.make_volume(made.real, "pvc-1", incarnation="aa")
    (made.on(made.real) / "pvc-1/data").write_text("new")
    shutil.copytree(made.on(made.real) / "pvc-1", made.on(made.copy) / "pvc-1")
    (made.on(made.copy) / "pvc-1/data").write_text("old")
    for drive in (made.real, made.copy):
        record = {"name": "pvc-1", "fsuuid": drive, "capacity": 20 * MIB}  # upstream's volumes have no incarnation
        where = made.on(drive) / ".directpv/volumes"
        where.mkdir(exist_ok=True)
        (where / "pvc-1.json").write_text(json.dumps(record))
    return made


async def test_neither_copy_is_served_while_only_the_name_speaks_for_one_and_no_start_changes_that(
    twice: Twice,
) -> None:
    for _ in range(3):
        await twice.restart()
        with pytest.raises(FailedPrecondition, match="both have a volume pvc-1"):
            await twice.mounted()
        assert [(await twice.told(drive)).contested for drive in (twice.real, twice.copy)] == [True, True]
    assert "volume is on several drives" in twice.agent.log_text()


async def test_the_drive_that_the_volume_context_names_is_served(twice: Twice) -> None:
    await twice.restart()
    assert await twice.mounted(fsuuid=twice.real) == "new"
    await twice.unmounted()
    assert await twice.mounted(fsuuid=twice.copy) == "old"


async def test_a_copy_is_not_served_while_the_drive_that_the_volume_context_names_is_away(
    twice: Twice, loops: Loops
) -> None:
    twice.agent.kill()
    unmount_below(twice.agent.root)
    loops.detach(twice.devices.pop(0))
    twice.agent.start(*twice.devices)
    await twice.agent.answers(twice.client)
    with pytest.raises(FailedPrecondition, match=f"was created on drive {twice.real}.*may be a copy"):
        await twice.mounted(fsuuid=twice.real)


async def test_what_the_leader_says_decides_and_holds_without_it(twice: Twice, loops: Loops) -> None:
    await twice.restart()
    await twice.client.make_volume(twice.real, "pvc-1")
    assert await twice.mounted() == "new"
    await twice.unmounted()
    assert (await twice.told(twice.copy)).stray_of == twice.real
    assert not (await twice.told(twice.real)).contested

    await twice.restart()
    assert await twice.mounted() == "new"
    await twice.unmounted()

    twice.agent.kill()
    unmount_below(twice.agent.root)
    loops.detach(twice.devices.pop(0))
    twice.agent.start(*twice.devices)
    await twice.agent.answers(twice.client)
    with pytest.raises(FailedPrecondition, match="is a copy, and not served"):
        await twice.mounted()


async def test_the_leader_may_change_its_mind(twice: Twice) -> None:
    await twice.restart()
    await twice.client.make_volume(twice.real, "pvc-1")
    await twice.client.make_volume(twice.copy, "pvc-1")
    await twice.restart()
    assert await twice.mounted() == "old"


async def test_the_copy_that_a_pod_works_on_stays_the_volume_for_its_next_pod(twice: Twice) -> None:
    assert await twice.mounted() == "new"
    await twice.restart()
    await twice.client.publish("pvc-1", twice.pods / "staging", twice.pods / "second")
    assert (twice.pods / "second/data").read_text() == "new"
    assert (twice.pods / "pod/data").read_text() == "new"


async def test_the_incarnation_tells_a_volume_from_an_older_one_of_its_name(twice: Twice) -> None:
    where = twice.on(twice.real) / ".directpv/volumes/pvc-1.json"
    where.write_text(json.dumps({"name": "pvc-1", "fsuuid": twice.real, "capacity": 20 * MIB, "incarnation": "aa"}))
    await twice.restart()
    assert await twice.mounted(incarnation="aa") == "new"


async def test_pods_can_leave_whatever_is_doubted(twice: Twice) -> None:
    assert await twice.mounted() == "new"
    await twice.restart()
    unmount(twice.pods / "staging")
    await twice.unmounted()
    assert not (twice.pods / "pod").exists()


async def test_directories_without_records_are_no_better_than_a_name(twice: Twice) -> None:
    twice.agent.kill()
    for drive in (twice.real, twice.copy):
        for record in (twice.on(drive) / ".directpv").glob("*/pvc-1*"):
            record.unlink()
    twice.agent.start(*twice.devices)
    await twice.agent.answers(twice.client)
    with pytest.raises(FailedPrecondition, match="both have a volume pvc-1"):
        await twice.client.stage("pvc-1", twice.pods / "staging", capacity=20 * MIB)
    assert await twice.mounted(fsuuid=twice.real, capacity=20 * MIB) == "new"
