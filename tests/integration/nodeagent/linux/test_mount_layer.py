"""Mounts on the real kernel: what old kernels get, too, and what a dead drive says."""

import concurrent.futures
import errno
import os
import threading
from pathlib import Path

import pytest

from directpv_common.protocol.errors import InvalidRequest
from directpv_nodeagent.linux import files, mount_points, mounts, quota, syscalls
from integration.nodeagent.harness import Loops, mounts_below, run


@pytest.fixture
def source(base: Path) -> Path:
    path = base / "tmpfs"
    path.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m,nosuid", "none", str(path))
    (path / "data").mkdir()
    (path / "data/file").write_text("x")
    return path / "data"


@pytest.mark.parametrize("way", ["atomic", "two steps"])
def test_a_read_only_bind_refuses_writes_and_keeps_the_sources_flags(source: Path, base: Path, way: str) -> None:
    target = base / "t"
    target.mkdir()
    with files.opened(str(source)) as descriptor:
        if way == "atomic":
            mounts.bind(descriptor, str(target), frozenset({"ro", "noexec"}))
        else:
            mounts.bind_in_two_steps(descriptor, str(target), syscalls.MS_RDONLY | syscalls.MS_NOEXEC)

    flags = os.statvfs(target).f_flag
    assert flags & os.ST_RDONLY
    assert flags & os.ST_NOEXEC
    assert flags & os.ST_NOSUID
    with pytest.raises(OSError) as caught:
        (target / "file").write_text("y")
    assert caught.value.errno == errno.EROFS
    (source / "file").write_text("the source stays writable")


@pytest.fixture
def occupied(base: Path) -> Path:
    """A place where something is mounted; bare, it shows a file."""
    target = base / "t"
    target.mkdir()
    (target / "bare").touch()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(target))
    return target


@pytest.mark.parametrize("way", ["beneath", "two steps"])
def test_a_mount_makes_way_for_another_with_flags_of_its_own(source: Path, occupied: Path, way: str) -> None:
    with (occupied / "open").open("w") as file, files.opened(str(source)) as descriptor:
        if way == "beneath":
            mounts.replace(descriptor, str(occupied), frozenset({"ro", "noexec"}))
        else:
            mounts.replace_in_two_steps(descriptor, str(occupied), syscalls.MS_RDONLY | syscalls.MS_NOEXEC)
        file.write("whoever has it open keeps it")

    assert os.listdir(occupied) == ["file"]
    assert os.statvfs(occupied).f_flag & os.ST_RDONLY
    assert mounts_below(occupied) == [str(occupied)]


def test_a_place_is_never_bare_while_its_mount_is_replaced(source: Path, occupied: Path) -> None:
    if (release := tuple(map(int, os.uname().release.split(".")[:2]))) < (6, 5):
        pytest.skip(f"Linux {release} cannot attach beneath a mount; 6.5 can")
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.update(os.listdir(occupied))

    with concurrent.futures.ThreadPoolExecutor() as pool, files.opened(str(source)) as descriptor:
        looking = pool.submit(look)
        try:
            for _ in range(500):
                mounts.replace(descriptor, str(occupied), frozenset())
        finally:
            done.set()
        looking.result()

    assert "bare" not in seen


def test_a_busy_mount_is_taken_away_lazily(source: Path, base: Path) -> None:
    target = base / "t"
    target.mkdir()
    with files.opened(str(source)) as descriptor:
        mounts.bind(descriptor, str(target), frozenset())

    with (target / "open").open("w") as file:
        mounts.unmount(str(target))
        file.write("x")

    assert mounts_below(target) == []


def test_unmounting_what_is_not_mounted_or_not_there_is_fine(base: Path) -> None:
    mounts.unmount(str(base))
    mounts.unmount(str(base / "missing"))


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/", "//", "/.", "/a\0b", ""])
def test_paths_that_cannot_be_mount_points_are_refused_by_name(path: str) -> None:
    with pytest.raises(InvalidRequest, match="target_path"):
        mount_points.canonical(path, "target_path")


def test_a_file_that_replaces_another_has_its_mode_and_leaves_nothing_behind(base: Path) -> None:
    os.umask(old := os.umask(0o077))
    with files.opened(str(base)) as directory:
        files.write_file("f", directory, b"one", 0o640)
        files.write_file("f", directory, b"two", 0o640)
        assert files.read_file("f", directory) == b"two"
        with pytest.raises(OSError):
            files.write_file("d/f", directory, b"no")

    assert (base / "f").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in base.iterdir()] == ["f"]
    assert old is not None


def test_links_are_never_read_or_written_through(base: Path) -> None:
    (base / "secret").write_text("kept")
    (base / "link").symlink_to(base / "secret")
    with files.opened(str(base)) as directory:
        with pytest.raises(OSError):
            files.read_file("link", directory)
        files.write_file("link", directory, b"new")

    assert (base / "secret").read_text() == "kept"
    assert not (base / "link").is_symlink()


@pytest.mark.parametrize("device", ["/dev/never-there", "/dev/null"])
def test_quota_is_never_asked_of_a_device_that_took_over_the_name(
    base: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "_SYS_QUOTACTL_FD", 10_000)  # as on a kernel before 5.14
    with files.opened(str(base)) as directory, pytest.raises(OSError) as caught:
        quota.usage(directory, device, 5)

    assert caught.value.errno == errno.ESTALE


def test_a_tree_of_any_depth_is_tagged_from_its_leaves_to_its_root(base: Path, loops: Loops) -> None:
    device = loops.make()
    run("mkfs.xfs", "-q", f"/dev/{device}")
    (base / "drive").mkdir()
    run("mount", f"/dev/{device}", str(base / "drive"))
    deep = 1500
    (base / "drive/top").mkdir()
    here = os.open(base / "drive/top", os.O_RDONLY)
    for _ in range(deep):
        os.mkdir("d", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    (base / "drive/top/side").mkdir()
    (base / "drive/top/link").symlink_to("/etc/passwd")
    os.mkfifo(base / "drive/top/fifo")

    with files.opened(str(base / "drive/top")) as top:
        quota.tag_tree(top, 4711)
        assert quota.attributes(top).belongs_to(4711)
        with files.opened("side", top) as side:
            assert quota.attributes(side).belongs_to(4711)
    assert quota.attributes(here).belongs_to(4711)
    for _ in range(deep):
        above = os.open("..", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = above
        with open("file", opener=lambda name, flags, here=here: os.open(name, flags, dir_fd=here)) as file:  # type: ignore[misc]
            assert quota.attributes(file.fileno()).project == 4711
    os.close(here)
