"""When disks are asked for their health, and what becomes of answers.

The disks are trees of files, and ``smartctl`` is a program of the test's own that plays back what the real one said
of emulated disks: a disk that sleeps, hangs, or gets worse on demand cannot be had here. What the real one does with
real drives is shown by the tests in virtual machines.
"""

import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from directpv_common.protocol.messages import ConditionType, DriveRecord
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.renewal import Renewal
from directpv_nodeagent.drives.taken.turns import Turns
from directpv_nodeagent.drives.watching import health as adapter
from directpv_nodeagent.drives.watching.health import HealthWatch, physical_disks
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.linux.executor import DriveExecutors
from support.node_client import eventually

OUTPUTS = Path(__file__).parents[4] / "unit/nodeagent/devices/smartctl"
NODE = "n1"
ALWAYS = 0.0
"""Interval after which a drive is asked again at once."""
SMARTCTL = """\
#!/bin/sh
for disk in "$@"; do :; done
name=${{disk##*/}}
echo "$name" >> {folder}/asked
[ -e {folder}/$name.hangs ] && exec sleep 60
[ -e {folder}/$name.sleeps ] && case "$*" in *"-n standby,129"*) exit 129;; *) echo "$name" >> {folder}/woken;; esac
[ -e {folder}/$name.json ] || exec cat {missing}
cat {folder}/$name.json
"""


class Tree:
    """A sysfs of files."""

    def __init__(self, base: Path) -> None:
        self.roots = Roots(sys=base / "sys", udev=base / "udev", proc=base / "proc", dev=base / "dev")
        (self.roots.sys / "class/block").mkdir(parents=True)
        self.devices = base / "sys/devices"

    def disk(self, name: str) -> Path:
        """A disk of its own."""
        block = self.virtual(name)
        (block / "device").mkdir()
        return block

    def partition(self, disk: str, name: str) -> None:
        block = self.devices / disk / name
        block.mkdir()
        (block / "partition").write_text("1\n")
        (self.roots.sys / "class/block" / name).symlink_to(block)

    def virtual(self, name: str, *slaves: str) -> Path:
        """A device of the kernel's own, over others or over none."""
        block = self.devices / name
        (block / "slaves").mkdir(parents=True)
        for slave in slaves:
            (block / "slaves" / slave).mkdir()
        (self.roots.sys / "class/block" / name).symlink_to(block)
        return block


class Bench:
    """A health watch over drives that exist in memory, and what it told."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        self.folder = folder
        self.tree = tree
        self.told: list[tuple[str, dict[str, Any]]] = []
        executors = DriveExecutors()
        renewal = Renewal(executors, Turns(executors))
        self.drives = Drives(Host(NODE, str(folder), {}, False), Prober(("*",)), executors, renewal, self._emit)
        self.watch = HealthWatch(self.drives, tree.roots)

    def _emit(self, noun: str, kind: str, subject: str, **data: Any) -> None:
        self.told.append((f"{noun}.{kind}", data))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]

    def drive(self, number: int, device: str) -> Drive:
        fsuuid = f"00000000-0000-0000-0000-{number:012}"
        record = DriveRecord(fsuuid=fsuuid, node=NODE, total=1, overhead=0, device=device)
        view = DriveView(str(self.folder), fsuuid, "8:0", device, enforced=True)
        drive = self.drives.by_id[fsuuid] = Drive(Contents(view, record, {}, {}, {}, {}))
        return drive

    def says(self, disk: str, serial: str = "", **log: Any) -> None:
        """Let a disk be an NVMe one with these values in its health log."""
        document = json.loads((OUTPUTS / "nvme.json").read_text())
        document["serial_number"] = serial or disk
        document["nvme_smart_health_information_log"].update(log)
        (self.folder / f"{disk}.json").write_text(json.dumps(document))

    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().split() if path.exists() else []

    async def ask(self, interval: float = ALWAYS) -> None:
        await self.watch.ask_all(interval)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def bench(tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Bench:
    program = tmp_path / "bin/smartctl"
    program.parent.mkdir()
    program.write_text(SMARTCTL.format(folder=tmp_path, missing=OUTPUTS / "missing.json"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    for disk in ("sda", "sdb"):
        tree.disk(disk)
    return Bench(tmp_path, tree)


def _all_returned(bench: Bench) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return not bench.drives.executors.stuck

    return check


def warned(drive: Drive) -> str:
    return drive.warned(ConditionType.FAILURE_PREDICTED)


@pytest.mark.parametrize(
    ("device", "disks"),
    [
        ("sda", ("sda",)),
        ("sda1", ("sda",)),
        ("md0", ("sda", "sdb")),
        ("dm-1", ("sda", "sdb")),
        ("loop0", ()),
        ("gone", ()),
    ],
)
def test_the_disks_below_a_device_are_found(tree: Tree, device: str, disks: tuple[str, ...]) -> None:
    tree.disk("sda")
    tree.disk("sdb")
    tree.partition("sda", "sda1")
    tree.virtual("md0", "sda1", "sdb")
    tree.virtual("dm-0", "md0")
    tree.virtual("dm-1", "dm-0", "sdb")
    tree.virtual("loop0")
    assert physical_disks(tree.roots, device) == disks


async def test_a_drive_over_two_disks_is_predicted_to_fail_if_one_of_them_is(bench: Bench) -> None:
    bench.tree.virtual("md0", "sda", "sdb")
    drive = bench.drive(1, "md0")
    bench.says("sda")
    bench.says("sdb", critical_warning=4)
    await bench.ask()
    assert warned(drive).startswith("sdb: ")
    assert bench.kinds() == ["drive.warning"]


async def test_each_drive_is_asked_once_per_interval_and_at_once_when_its_device_is_another(bench: Bench) -> None:
    drive = bench.drive(1, "sda")
    for disk in ("sda", "sdb"):
        bench.says(disk)
    await bench.ask(600)
    await bench.ask(600)
    assert bench.asked() == ["sda"]
    drive.change(device="sdb")
    await bench.ask(600)
    assert bench.asked() == ["sda", "sdb"]


async def test_a_drive_without_device_has_no_figures_and_is_asked_at_once_when_it_is_back(bench: Bench) -> None:
    drive = bench.drive(1, "sda")
    bench.says("sda")
    await bench.ask(600)
    drive.change(device="")
    await bench.ask(600)
    assert bench.watch.of(drive.fsuuid) is None
    drive.change(device="sda")
    await bench.ask(600)
    assert bench.asked() == ["sda", "sda"]
    assert bench.watch.of(drive.fsuuid) is not None


async def test_a_disk_that_sleeps_is_not_woken_and_what_it_said_still_holds(bench: Bench) -> None:
    drive = bench.drive(1, "sda")
    bench.says("sda", critical_warning=4)
    await bench.ask()
    before = bench.watch.of(drive.fsuuid)
    (bench.folder / "sda.sleeps").touch()
    await bench.ask()
    assert bench.watch.of(drive.fsuuid) == before
    assert warned(drive)
    assert not (bench.folder / "woken").exists()


async def test_a_disk_that_falls_silent_has_no_figures_but_its_prediction_stands(bench: Bench) -> None:
    drive = bench.drive(1, "sda")
    bench.says("sda", critical_warning=4)
    await bench.ask()
    (bench.folder / "sda.json").unlink()
    await bench.ask()
    assert bench.watch.of(drive.fsuuid) is None
    assert warned(drive)
    bench.says("sda")
    await bench.ask()
    assert not warned(drive)
    assert bench.kinds() == ["drive.warning", "drive.warning-ended"]


async def test_more_media_errors_are_told_of_and_nothing_else_is(bench: Bench) -> None:
    drive = bench.drive(1, "sda")
    for errors in (5, 5, 3, 7):
        bench.says("sda", media_errors=errors)
        await bench.ask()
    assert bench.told == [("drive.media-errors", {"device": "sda", "disk": "sda", "old": 3, "new": 7})]
    assert bench.watch.of(drive.fsuuid).media_errors == 7  # type: ignore[union-attr]


async def test_a_disk_that_does_not_answer_in_time_costs_the_others_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "DISK_SECONDS", 4.0)
    hung, well = bench.drive(1, "sda"), bench.drive(2, "sdb")
    for disk in ("sda", "sdb"):
        bench.says(disk)
    await bench.ask()
    assert bench.watch.of(hung.fsuuid) is not None
    (bench.folder / "sda.hangs").touch()
    await bench.ask()
    assert bench.watch.of(hung.fsuuid) is None
    assert bench.watch.of(well.fsuuid) is not None
    assert bench.kinds() == []
    assert bench.drives.executors.stuck == {}


async def test_a_disk_that_cannot_even_be_given_up_is_asked_once_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ASK_SECONDS", 1.0)
    monkeypatch.setattr(adapter, "DISK_SECONDS", 4.0)
    bench.drive(1, "sda")
    (bench.folder / "sda.hangs").touch()
    for _ in range(3):
        await bench.ask()
    assert bench.asked() == ["sda"]
    assert bench.drives.executors.stuck == {"health sda": 1}
    await eventually(_all_returned(bench), "the program is killed")


async def test_a_drive_that_is_gone_before_its_disk_answers_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = bench.drive(1, "sda")
    bench.says("sda", critical_warning=4)
    ask: Callable[..., adapter.Answer] = adapter.ask

    def ask_while_it_is_pulled(roots: Roots, device: str) -> adapter.Answer:
        answer = ask(roots, device)
        drive.change(device="")
        return answer

    monkeypatch.setattr(adapter, "ask", ask_while_it_is_pulled)
    await bench.ask()
    assert bench.watch.of(drive.fsuuid) is None
    assert bench.kinds() == []


async def test_without_smartctl_nothing_is_asked_and_nobody_is_alarmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.drive(1, "sda")
    monkeypatch.setenv("PATH", str(bench.folder))
    await bench.watch.run(600)
    assert "smartmontools" in caplog.text
    assert bench.kinds() == []


async def test_the_interval_0_asks_never(bench: Bench) -> None:
    bench.drive(1, "sda")
    await bench.watch.run(0)
    assert bench.asked() == []
