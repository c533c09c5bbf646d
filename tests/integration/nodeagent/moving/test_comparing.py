"""The comparison by itself: what it finds, what it does not read again, and how much it remembers."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from directpv_common.protocol.errors import FailedPrecondition
from directpv_nodeagent.volumes.moving.comparing import Comparison, Known, Room
from integration.nodeagent.blocks import Loop
from integration.nodeagent.harness import run


@pytest.fixture
def trees(loop: Callable[..., Loop], mounted: Callable[..., Path]) -> tuple[Path, Path]:
    """A volume on one file system, and its copy on another one, as ``cp -a`` makes it."""
    tops = []
    for _ in range(2):
        device = loop(300 * 1024 * 1024)
        run("mkfs.xfs", "-q", f"/dev/{device.name}")
        tops.append(mounted(f"/dev/{device.name}"))
    source, target = (top / "volume" for top in tops)
    source.mkdir()
    for name, size in (("large", 200_000), ("small", 100), ("empty", 0)):
        (source / name).write_bytes(os.urandom(size))
        os.utime(source / name, (1, 1))
    run("cp", "-a", str(source), str(target))
    return source, target


def compare(trees: tuple[Path, Path], known: Known) -> tuple[list[str], int]:
    """Return what differs, and how many bytes of the source were read."""
    source, target = (os.open(top, os.O_RDONLY) for top in trees)
    comparison = Comparison(source, target, known)
    try:
        while not comparison.some(1.0):
            pass
        return sorted(each.path for each in comparison.wrong), comparison.read
    finally:
        comparison.close()
        os.close(source)
        os.close(target)


def settled() -> None:
    """Wait until changes made before are certainly older than what is remembered may be."""
    end = time.time() + 1.1
    while time.time() < end:
        time.sleep(0.1)


def test_a_file_that_is_unchanged_since_it_was_compared_is_not_read_again(trees: tuple[Path, Path]) -> None:
    known = Known(Room())
    settled()
    assert compare(trees, known) == ([], 200_100)
    assert compare(trees, known) == ([], 0)

    (trees[0] / "large").write_bytes(bytes(200_000))
    os.utime(trees[0] / "large", (1, 1))

    assert compare(trees, known)[0] == ["large"]


def test_a_file_that_has_just_changed_is_read_again(trees: tuple[Path, Path]) -> None:
    known = Known(Room())
    for name in ("large", "small"):
        os.utime(trees[0] / name, (1, 1))
    compare(trees, known)

    assert compare(trees, known)[1] == 200_100


def test_what_there_is_no_room_to_remember_is_read_again(trees: tuple[Path, Path]) -> None:
    room = Room(left=2, all=4)
    known = Known(room)
    settled()
    compare(trees, known)
    assert compare(trees, known)[1] == 100, "the large file is remembered"
    assert room.left == 1

    known.forget()

    assert room.left == 2


def test_everything_that_differs_is_named(trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "only-here").touch()
    (target / "only-there").touch()
    os.chmod(target / "small", 0o600)
    os.chown(target / "empty", 5, 5)
    with (target / "large").open("r+b") as file:
        file.seek(150_000)
        file.write(b"x")
    os.utime(target / "large", (1, 1))

    wrong, _ = compare(trees, Known(Room()))

    assert {"only-here", "only-there", "small", "empty", "large"} <= set(wrong)


@pytest.mark.parametrize("name", ["large", "empty", "folder", "."])
@pytest.mark.parametrize("flag", ["i", "a"])
def test_a_flag_that_no_copy_gets_is_refused_whatever_bears_it(trees: tuple[Path, Path], name: str, flag: str) -> None:
    source, _ = trees
    for top in trees:
        (top / "folder").mkdir()
        os.utime(top / "folder", (1, 1))
        os.utime(top, (1, 1))
    run("chattr", f"+{flag}", str(source / name))
    try:
        with pytest.raises(FailedPrecondition, match="is immutable or append-only, which is not copied"):
            compare(trees, Known(Room()))
    finally:
        run("chattr", f"-{flag}", str(source / name))
    assert compare(trees, Known(Room()))[0] == []
