"""Of a drive that is wanted back, what is remembered goes after its volumes are written, whatever fails in between."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.messages import RetiredDrive, VolumeRecord
from directpv_controller.core.placing.model import Writes
from directpv_controller.registry.kubernetes.keeping import registry as keeping
from directpv_controller.registry.kubernetes.keeping.group import Entry
from directpv_controller.registry.kubernetes.keeping.registry import KubernetesRegistry

DRIVE = "7a5bd2a6-6a1c-4e3b-9d54-6f4b9f8f5c11"
NOBODY: Any = None
VOLUME = VolumeRecord(name="pvc-1", fsuuid=DRIVE, capacity=1 << 30, deleting=True)
RETIRED = RetiredDrive(fsuuid=DRIVE, node="n1", deleting=(VOLUME,))


class Objects:
    """What is asked of the API server, in its order; writes of volumes end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def change(self, retired: Iterable[RetiredDrive], settled: Iterable[RetiredDrive]) -> None:
        self.asked += [f"remember {each.fsuuid}" for each in retired] + [f"forget {each.fsuuid}" for each in settled]


@pytest.fixture
async def objects() -> Objects:
    return Objects()


@pytest.fixture
def registry(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> KubernetesRegistry:
    class PlayedLane:
        busy = False

        def __init__(self, *_: object) -> None:
            self.waiting: list[Entry] = []

        def add(self, entry: Entry) -> None:
            self.waiting.append(entry)

        async def run(self) -> None:
            while self.waiting:
                entry = self.waiting.pop()
                objects.asked += [f"write {name}" for name in entry.puts]
                await asyncio.wait([objects.written])
                error = objects.written.exception()
                entry.future.set_exception(error) if error else entry.future.set_result(None)

    monkeypatch.setattr(keeping, "Lane", PlayedLane)
    memory: Any = SimpleNamespace(drives=objects)
    return KubernetesRegistry(NOBODY, NOBODY, memory, "r1", NOBODY, NOBODY)


async def until_written(objects: Objects) -> None:
    async with asyncio.timeout(5):
        while not any(each.startswith("write") for each in objects.asked):
            await asyncio.sleep(0)


async def test_deletions_are_forgotten_only_when_the_volumes_that_are_to_go_are_written(
    registry: KubernetesRegistry, objects: Objects
) -> None:
    commit = registry.commit(Writes(volumes=(VOLUME,), settled=(RETIRED,)), NOBODY)
    await until_written(objects)
    assert objects.asked == ["write pvc-1"]
    objects.written.set_result(None)
    await commit

    assert objects.asked == ["write pvc-1", f"forget {DRIVE}"]


async def test_deletions_are_remembered_if_their_volumes_cannot_be_written(
    registry: KubernetesRegistry, objects: Objects
) -> None:
    objects.written.set_exception(Unavailable("the API server does not answer"))

    with pytest.raises(Unavailable):
        await registry.commit(Writes(volumes=(VOLUME,), settled=(RETIRED,)), NOBODY)

    assert objects.asked == ["write pvc-1"]


async def test_a_drive_is_remembered_before_its_object_goes(registry: KubernetesRegistry, objects: Objects) -> None:
    commit = registry.commit(Writes(volumes=(VOLUME,), retired=(RETIRED,)), NOBODY)
    await until_written(objects)
    objects.written.set_result(None)
    await commit

    assert objects.asked == [f"remember {DRIVE}", "write pvc-1"]
