"""What ``down`` leaves alone: whatever is not the stack's, mounted below its directory or not."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.local.lifecycle import stop
from directpv_cli.local.machine import disks, processes
from directpv_cli.local.stack import Options, Stack, StackError


@pytest.fixture(params=["plain", "of several words", "prés-salé", "link"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The directory of a stack of which nothing runs, under different names."""
    real = tmp_path / "real"
    real.mkdir()
    parent = real if request.param == "link" else real / request.param
    parent.mkdir(exist_ok=True)
    if request.param == "link":
        (tmp_path / "link").symlink_to(real)
        parent = tmp_path / "link"
    directory = parent / "stack"
    directory.mkdir()
    Stack(options=Options(directory=str(directory))).save()
    try:
        yield directory
    finally:
        subprocess.run(("umount", "-l", str(directory / "x")), check=False, capture_output=True)
        disks.detach(real)


def test_down_removes_nothing_of_what_others_mounted_below_the_directory(directory: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").write_text("x")
    (directory / "x").mkdir()
    disks.command("mount", "--bind", str(theirs), str(directory / "x"))

    stop.down(directory)

    assert (theirs / "precious").read_text() == "x"
    assert not directory.exists()


def test_down_detaches_the_disks_of_a_stack_whatever_its_directory_is_called(directory: Path) -> None:
    device = disks.make_disk(directory / "drive.img", 1 << 20)

    stop.down(directory)

    assert not Path(f"/sys/block/{device}/loop/backing_file").exists()


def test_down_that_was_held_up_says_at_its_end_what_there_was_at_its_beginning(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the second time the volumes are gone already, and nobody can count them."""
    device = disks.make_disk(directory / "drive.img", 320 << 20)
    disks.command("mkfs.xfs", "-q", f"/dev/{device}")
    (directory / "x").mkdir()
    disks.command("mount", f"/dev/{device}", str(directory / "x"))
    held_up = pytest.raises(StackError, match="what else there was of the stack is gone already")
    with (directory / "x/file").open("w"), held_up, monkeypatch.context() as soon:
        soon.setattr(disks, "DETACH_SECONDS", 1.0)
        stop.down(directory, "1 drive and 2 volumes")

    assert stop.down(directory, "1 drive and 0 volumes") == "1 drive and 2 volumes"
    assert not directory.exists()


def test_down_that_is_held_up_says_by_whom_while_it_waits_and_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = disks.make_disk(directory / "drive.img", 320 << 20)
    disks.command("mkfs.xfs", "-q", f"/dev/{device}")
    (directory / "x").mkdir()
    disks.command("mount", f"/dev/{device}", str(directory / "x"))
    told: list[str] = []
    held_up = pytest.raises(StackError, match=f"still attached: {device}, held by")
    with (directory / "x/file").open("w"), held_up, monkeypatch.context() as soon:
        soon.setattr(disks, "DETACH_SECONDS", 1.0)
        soon.setattr(processes, "SILENT_SECONDS", 0.0)
        stop.down(directory, "", told.append)

    assert len(told) == 1, told
    assert told[0].startswith(f"the kernel to let go of {device}, held by")
    stop.down(directory, "", told.append)
