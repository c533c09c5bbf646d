"""When what a device showed counts still: what must not have happened to it meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest

from directpv_nodeagent.devices.answers import Answers
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.sysfs import Roots

DISK = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, udev={"E:ID_SERIAL": "one"})
STAT = "10 0 80 1 {} 0 800 5 0 6 6 0 0 0 0 {} 0"


@pytest.fixture
def block(tmp_path: Path) -> Path:
    path = tmp_path / "class/block/sdb"
    path.mkdir(parents=True)
    (path / "diskseq").write_text("7\n")
    (path / "stat").write_text(STAT.format(100, 3))
    return path


@pytest.fixture
def answers(tmp_path: Path, block: Path) -> Answers[str]:
    answers: Answers[str] = Answers(Roots(sys=tmp_path))
    assert answers.kept(DISK, lambda: "blank")() == "blank"
    return answers


def test_a_device_to_which_nothing_happened_need_not_be_read(answers: Answers[str], block: Path) -> None:
    (block / "stat").write_text(STAT.format(100, 4).replace("10 0 80", "20 0 160"))  # somebody read, and flushed
    assert answers.unchanged(DISK) == "blank"


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(replace(DISK, size=2 << 30), id="it has grown"),
        pytest.param(replace(DISK, major_minor="8:32"), id="it is another device"),
        pytest.param(replace(DISK, udev={"E:ID_SERIAL": "two"}), id="udev has news of it"),
        pytest.param(replace(DISK, holders=("dm-0",)), id="it is used by another device"),
        pytest.param(replace(DISK, mount_points=("/mnt",)), id="it is mounted"),
        pytest.param(replace(DISK, swap=True), id="it is swapped to"),
        pytest.param(replace(DISK, name="sdc"), id="it was never read"),
    ],
)
def test_it_is_read_again_if(answers: Answers[str], now: DeviceFacts) -> None:
    assert answers.unchanged(now) is None


def test_it_is_read_again_if_it_was_written_to_or_exchanged(answers: Answers[str], block: Path) -> None:
    (block / "stat").write_text(STAT.format(101, 3))
    assert answers.unchanged(DISK) is None
    (block / "stat").write_text(STAT.format(100, 3))
    assert answers.unchanged(DISK) == "blank"
    (block / "diskseq").write_text("8\n")
    assert answers.unchanged(DISK) is None


def test_where_the_kernel_does_not_tell_an_exchange_it_is_read_each_time(answers: Answers[str], block: Path) -> None:
    (block / "diskseq").unlink()
    answers.kept(DISK, lambda: "blank")()
    assert answers.unchanged(DISK) is None
    assert answers.late(DISK, 60) == "blank"


def test_where_the_kernel_does_not_count_writes_it_is_read_each_time(answers: Answers[str], block: Path) -> None:
    (block / "queue").mkdir()
    (block / "queue/iostats").write_text("0\n")
    assert answers.unchanged(DISK) is None
    (block / "queue/iostats").write_text("1\n")
    assert answers.unchanged(DISK) == "blank"


def test_a_late_answer_is_one_of_the_same_device_and_not_old(answers: Answers[str], block: Path) -> None:
    (block / "stat").write_text(STAT.format(101, 3))
    assert answers.late(DISK, 60) == "blank"
    assert answers.late(DISK, 0) is None
    assert answers.late(replace(DISK, size=2 << 30), 60) is None


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(replace(DISK, mount_points=("/mnt",)), id="it was mounted since"),
        pytest.param(replace(DISK, swap=True), id="it is swapped to since"),
        pytest.param(replace(DISK, udev={"E:ID_SERIAL": "one", "E:ID_FS_TYPE": "xfs"}), id="udev saw something else"),
    ],
)
def test_a_late_answer_says_nothing_of_what_was_made_of_the_device_meanwhile(
    answers: Answers[str], now: DeviceFacts
) -> None:
    assert answers.late(now, 60) is None


def test_a_mounted_device_that_answers_late_has_answered(answers: Answers[str], block: Path) -> None:
    mounted = replace(DISK, mount_points=("/mnt",))
    answers.kept(mounted, lambda: "xfs")()
    (block / "stat").write_text(STAT.format(500, 3))
    assert answers.late(replace(mounted, mount_points=("/mnt", "/volume")), 60) == "xfs"
