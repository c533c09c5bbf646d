"""Mounts of volumes whose drive failed and is back, while others work on them or have volumes of the same name."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.errors import Busy, DirectPVError
from directpv_nodeagent.drives.taken import numbers
from integration.nodeagent.faults import is_ready, shut_down
from integration.nodeagent.harness import AgentProcess, Loops, mounts_below, run
from support.node_client import Client, eventually


class Frozen:
    """A file system on which every change hangs until it is thawed."""

    def __init__(self, path: Path) -> None:
        self.path, self._frozen = path, False

    def freeze(self) -> None:
        run("fsfreeze", "--freeze", str(self.path))
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            run("fsfreeze", "--unfreeze", str(self.path))
            self._frozen = False


@pytest.fixture
def elsewhere(loops: Loops, agent: AgentProcess, pods: Path) -> Iterator[Frozen]:
    """A directory for pods on a disk of its own, which is not the agent's."""
    device = loops.make()
    run("mkfs.xfs", "-q", f"/dev/{device}")
    (pods / "elsewhere").mkdir()
    run("mount", f"/dev/{device}", str(pods / "elsewhere"))
    frozen = Frozen(pods / "elsewhere")
    try:
        yield frozen
    finally:
        frozen.thaw()


@contextlib.asynccontextmanager
async def publishing(client: Client, name: str, staging: Path, target: Path) -> AsyncIterator[None]:
    """Publish a volume where that hangs, and wait until it does; what becomes of it is awaited at the end."""

    async def publish() -> None:
        while True:
            with contextlib.suppress(Busy):  # of a stage, by which the begin is noticed
                return await client.publish(name, staging, target)

    task = asyncio.create_task(publish())

    async def begun() -> bool:
        try:
            await client.stage(name, staging)
        except Busy:
            return True
        return False

    try:
        await eventually(begun, "the volume is being published")
        yield
    finally:
        with contextlib.suppress(DirectPVError):
            await task


def shown_at(path: Path) -> list[str]:
    """Return id and file system of each mount at ``path``."""
    lines = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [f"{fields[0]} {fields[fields.index('-') + 1]}" for fields in lines if fields[4] == str(path)]


async def covered(path: Path) -> bool:
    return [entry.split(" ")[1] for entry in shown_at(path)] == ["tmpfs"]


async def make(client: Client, drive: str, name: str, staging: Path) -> None:
    """Make and stage a volume, with its name in a file."""
    await client.make_volume(drive, name)
    await client.stage(name, staging)
    (staging / "file").write_text(name)
    run("sync", "-f", str(staging))


async def test_places_of_a_volume_are_changed_by_nobody_while_an_operation_works_on_it_and_once_afterwards(
    agent: AgentProcess, elsewhere: Frozen, drive: str, client: Client, pods: Path
) -> None:
    for name in ("pvc-1", "pvc-2"):
        await make(client, drive, name, pods / name)
    before = shown_at(pods / "pvc-1")
    elsewhere.freeze()
    async with publishing(client, "pvc-1", pods / "pvc-1", elsewhere.path / "t"):
        shut_down(agent.root / "mnt" / drive)

        held = await client.drive_when(
            drive, lambda d: any("not ended" in c.message for c in d.record.conditions), "it is told what is waited for"
        )
        assert held.record.status == "Error"
        assert str(pods / "pvc-1") in held.record.conditions[0].message
        assert shown_at(pods / "pvc-1") == before
        await eventually(lambda: covered(pods / "pvc-2"), "the other volume's place is covered")
        elsewhere.thaw()

    await client.drive_when(drive, is_ready, "ready again")
    assert [(pods / name / "file").read_text() for name in ("pvc-1", "pvc-2")] == ["pvc-1", "pvc-2"]
    assert set(Counter(mounts_below(pods)).values()) == {1}
    await client.unpublish("pvc-1", elsewhere.path / "t")
    for name in ("pvc-1", "pvc-2"):
        await client.unstage(name, pods / name)
        assert await client.removed(drive, name)


async def reads(file: Path) -> bool:
    try:
        return bool(file.read_text())
    except OSError:
        return False


async def test_a_dead_mount_of_another_drives_volume_of_the_same_name_is_left_alone(
    agent: AgentProcess, loops: Loops, client: Client, pods: Path, base: Path, port: int
) -> None:
    other, device = AgentProcess(base, port, "n2"), loops.make()
    agent.start(device)
    ours = await client.make_drive(device)
    try:
        other.start(spare := loops.make())
        theirs = await (others := Client(client.bus, "n2")).make_drive(spare)
        await make(client, ours, "pvc-1", pods / "ours")
        await make(others, theirs, "pvc-1", pods / "theirs")
        other.kill()
        shut_down(other.root / "mnt" / theirs)
        before = shown_at(pods / "theirs")

        shut_down(agent.root / "mnt" / ours)
        await eventually(lambda: reads(pods / "ours/file"), "its failure was noticed, and it is shown again")
        await client.drive_when(ours, is_ready, "ready again")

        assert (pods / "ours/file").read_text() == "pvc-1"
        assert shown_at(pods / "theirs") == before
        with pytest.raises(OSError, match="Input/output error"):
            os.listdir(pods / "theirs")
    finally:
        other.close()


async def test_a_renewal_that_was_killed_between_its_two_steps_is_ended_and_not_done_twice(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    await make(client, drive, "pvc-1", pods / "s")
    agent.kill()
    run("mount", "-t", "tmpfs", "-o", "ro", f"directpv-cover:{drive}:noatime:/pvc-1", str(pods / "s"))

    agent.start(device)
    await agent.answers(client)

    assert len(shown_at(pods / "s")) == 1
    assert (pods / "s/file").read_text() == "pvc-1"


def test_the_number_of_a_device_tells_which_drive_it_carried_last_and_outlives_the_agent(base: Path) -> None:
    root = str(base)
    assert numbers.numbers_of(root, "drive-1") == frozenset()
    for number in ("8:16", "8:32"):
        numbers.note(root, number, "drive-1")
    numbers.note(root, "8:16", "drive-2")
    numbers.note(root, "8:16", "drive-2")
    former_boot = base / "numbers/8:48"
    former_boot.symlink_to("00000000-0000-4000-8000-000000000000/drive-1")

    assert numbers.numbers_of(root, "drive-1") == {"8:32"}
    assert numbers.numbers_of(root, "drive-2") == {"8:16"}
    assert sorted(os.listdir(base / "numbers")) == ["8:16", "8:32", "8:48"]
