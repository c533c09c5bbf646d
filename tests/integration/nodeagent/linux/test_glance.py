"""What is mounted at a path, asked of the path on new kernels, and looked up in the mount table on old ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_common.protocol.messages import VolumeRecord
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.layout import drive_path
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import open_drive
from directpv_nodeagent.linux import glance, mounts, syscalls
from directpv_nodeagent.volumes import binding
from directpv_nodeagent.volumes.binding import Leaving, Publication
from integration.nodeagent.faults import shut_down
from integration.nodeagent.harness import Loops, mounts_below, run
from support.node_client import MIB

NEW, OLD = "as since Linux 5.8", "as before Linux 5.8"
NONE: frozenset[str] = frozenset()


@pytest.fixture(params=[NEW, OLD])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel that tells mount points, or (pretended: this one does) not."""
    if request.param == OLD:
        monkeypatch.setattr(syscalls, "_STATX_ATTR_MOUNT_ROOT", 1 << 60)
    return str(request.param)


@pytest.fixture
def view(base: Path, loops: Loops) -> DriveView:
    """A mounted drive with the volume pvc-1."""
    device, root = loops.make(), str(base / "root")
    xfs.prepare_root(root)
    run("mkfs.xfs", "-q", f"/dev/{device}")
    fsuuid = run("blkid", "-p", "-s", "UUID", "-o", "value", f"/dev/{device}")
    path = drive_path(root, fsuuid)
    xfs.mount_drive(f"/dev/{device}", path, fsuuid, quota_required=False)
    with open_drive(path, fsuuid, proven=False) as drive:
        drive.write_layout()
        view = DriveView(root, fsuuid, drive.device, device, enforced=False)
    record = VolumeRecord(name="pvc-1", fsuuid=fsuuid, capacity=20 * MIB)
    assert isinstance(volume_dirs.prepare(view, [record], {}, NONE)["pvc-1"], int)
    return view


@pytest.fixture
def places(base: Path) -> Path:
    (base / "kubelet").mkdir()
    return base / "kubelet"


def live(view: DriveView, places: Path) -> Iterator[list[str]]:
    """Go through a volume's life on its node; yield what is mounted after each step, each of them done twice."""
    record = VolumeRecord(name="pvc-1", fsuuid=view.fsuuid, capacity=20 * MIB)
    staging, target = str(places / "s"), str(places / "t")
    wanted = Publication(staging, target, frozenset({"ro"}), single_writer=True)
    for step in (
        lambda: binding.stage(view, record, staging, frozenset({"nosuid"}), {}),
        lambda: binding.publish(view, "pvc-1", wanted, "0:99999"),
        lambda: binding.check_mounted(view, "pvc-1", target, "0:99999"),
        lambda: binding.take_away(Leaving(view.root, "pvc-1", target, binding.TARGET, "0:99999", view, remove=True)),
        lambda: binding.take_away(Leaving(view.root, "pvc-1", staging, binding.STAGING, "0:99999", view, remove=False)),
    ):
        step()
        before = mounts_below(places)
        step()
        assert mounts_below(places) == before, "a repeat finds it done"
        yield before


def test_a_volume_lives_and_dies_in_the_same_way_whatever_the_kernel_tells(
    kernel: str, view: DriveView, places: Path
) -> None:
    staging, target = str(places / "s"), str(places / "t")
    assert list(live(view, places)) == [[staging], [target, staging], [target, staging], [staging], []]


def test_on_a_new_kernel_it_does_so_without_a_look_at_the_mount_table(
    view: DriveView, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(mounts, "_read", refuse)
    assert len(list(live(view, places))) == 5


def test_what_is_mounted_at_a_path_is_told(kernel: str, view: DriveView, places: Path) -> None:
    volume, path = glance.shown_at(view.path) if kernel == NEW else None, str(places / "t")
    assert glance.is_bare(str(places / "missing"))
    assert glance.is_bare(str(places)) is (kernel == NEW), "an old one cannot be certain"
    assert glance.device_at(str(places / "missing")) == glance.device_at(str(places)) == ""

    (places / "t").touch()
    (Path(view.path) / "pvc-1/file").touch()
    run("mount", "--bind", f"{view.path}/pvc-1/file", path)
    assert not glance.is_bare(path)
    assert glance.device_at(path) == view.device
    assert not glance.shows(path, volume), "it shows another file of the same file system"
    (mount,) = glance.mounts_at({path: volume}, "/pvc-1", path).mounts
    assert (mount.device, mount.root) == (view.device, "/pvc-1/file")


def test_a_failed_file_system_is_told_from_a_bare_place(kernel: str, view: DriveView, places: Path) -> None:
    record = VolumeRecord(name="pvc-1", fsuuid=view.fsuuid, capacity=20 * MIB)
    staging = str(places / "s")
    binding.stage(view, record, staging, NONE, {})
    shut_down(Path(view.path))

    assert glance.device_at(staging) == view.device
    assert not glance.is_bare(staging)
    leaving = Leaving(view.root, "pvc-1", staging, binding.STAGING, "", view, remove=False)
    assert binding.take_away(leaving).changed
    assert mounts_below(places) == []


def test_a_table_that_an_old_kernel_cut_is_read_until_it_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "{} 1 8:16 /pvc-{} /t{} rw - xfs /dev/sdb rw\n"
    whole = "".join(line.format(n, n, n) for n in range(10, 14))
    said = iter([whole[:100], whole[:50], whole, whole, ""])  # no kernel of today does that
    monkeypatch.setattr(mounts, "_read_once", lambda path, about: next(said))
    monkeypatch.setattr(mounts, "_release", lambda: (5, 7))

    assert len(mounts.own_mounts().mounts) == 4
