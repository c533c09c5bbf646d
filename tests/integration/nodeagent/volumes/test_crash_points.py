"""Killed at every single step: whatever was the last one, the same call again ends the work, and nothing is lost.

A child process does the work on a real XFS and dies, without any clean-up, at its n-th call that changes something; n
grows until it gets through.
"""

import os
import shutil
from pathlib import Path

from directpv_common.protocol.messages import DriveRecord, VolumeRecord
from directpv_common.protocol.names import project_id
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.takeover import lay_out, take_over
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.layout import RETIRED
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.layout.drive_dir import open_drive
from directpv_nodeagent.linux import quota
from directpv_nodeagent.volumes import remains
from integration.nodeagent.crashing import FSUUID, every_crash
from integration.nodeagent.harness import run
from support.node_client import MIB

RECORD = VolumeRecord(name="pvc-1", fsuuid=FSUUID, capacity=20 * MIB)


def contents(host: Host, facts: DeviceFacts) -> Contents:
    """What an agent finds that starts now."""
    return take_over(host, FSUUID, facts)


def has_project(view: DriveView, name: str) -> bool:
    with open_drive(view.path, FSUUID) as drive, drive.volume(name) as directory:
        return quota.attributes(directory).belongs_to(project_id(name))


def clean(view: DriveView) -> None:
    for path in Path(view.path).iterdir():
        if not path.name.startswith("."):
            shutil.rmtree(path)
    for kind in ("volumes", "held"):
        for path in (Path(view.path) / ".directpv" / kind).glob("*"):
            path.unlink()


def test_making_a_volume_can_be_cut_short_anywhere(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    def check() -> None:
        found = contents(host, facts)
        if "pvc-1" in found.volumes:
            assert has_project(view, "pvc-1")
        assert volume_dirs.prepare(view, [RECORD], found.projects, frozenset(found.volumes)) == {
            "pvc-1": project_id("pvc-1")
        }
        assert contents(host, facts).volumes == {"pvc-1": RECORD}
        assert has_project(view, "pvc-1")

    deaths = every_crash(lambda: clean(view), lambda: volume_dirs.prepare(view, [RECORD], {}, frozenset()), check)

    assert deaths >= 8


def test_growing_a_volume_can_be_cut_short_anywhere(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    larger = VolumeRecord(name="pvc-1", fsuuid=FSUUID, capacity=30 * MIB)

    def make() -> None:
        clean(view)
        volume_dirs.prepare(view, [RECORD], {}, frozenset())

    def check() -> None:
        assert contents(host, facts).volumes["pvc-1"] in (RECORD, larger)
        volume_dirs.resize(view, larger, {})
        assert contents(host, facts).volumes["pvc-1"] == larger

    assert every_crash(make, lambda: volume_dirs.resize(view, larger, {}), check) >= 3


def test_removing_a_volume_can_be_cut_short_anywhere(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    other = VolumeRecord(name="pvc-2", fsuuid=FSUUID, capacity=MIB)

    def make() -> None:
        clean(view)
        volume_dirs.prepare(view, [RECORD, other], {}, frozenset())
        for name in ("pvc-1", "pvc-2"):
            (Path(view.path) / name / "dir").mkdir()
            (Path(view.path) / name / "dir/file").write_text("x")

    def remove() -> None:
        remains.retire(view, "pvc-1")
        while not (remains.purge_some(view, "pvc-1", 5.0) and remains.end_purge(view, "pvc-1", {})):
            pass

    def check() -> None:
        found = contents(host, facts)
        whole = "pvc-1" in found.volumes
        assert whole == (Path(view.path) / "pvc-1").exists()
        if whole:
            assert (Path(view.path) / "pvc-1/dir/file").read_text() == "x"
            assert RETIRED not in os.listxattr(Path(view.path) / "pvc-1"), "else a person who renames it loses it"
        remove()
        found = contents(host, facts)
        assert found.volumes.keys() == {"pvc-2"}
        assert found.purging == {}
        assert (Path(view.path) / "pvc-2/dir/file").read_text() == "x"

    assert every_crash(make, remove, check) >= 8


def test_a_drives_record_is_the_old_one_or_the_new_one(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    with open_drive(view.path, FSUUID) as drive:
        old = drive.record()
        assert old is not None
        new = DriveRecord(fsuuid=FSUUID, node="n1", total=old.total, overhead=old.overhead, unschedulable=True)

        def check() -> None:
            assert drive.record() in (old, new)

        deaths = every_crash(lambda: drive.write_record(old), lambda: drive.write_record(new), check)
        assert drive.record() == new

    assert deaths >= 3


def test_laying_a_drive_out_can_be_cut_short_anywhere_and_never_leaves_a_drive_without_record(
    host: Host, facts: DeviceFacts
) -> None:
    """Until it is whole it is no drive, or one without record, as upstream's are; formatting again makes it whole."""
    path = Path(host.root) / "mnt" / FSUUID

    def fresh() -> None:
        run("mkfs.xfs", "-q", "-f", "-m", f"uuid={FSUUID}", "-L", "DIRECTPV", f"/dev/{facts.name}")

    def check() -> None:
        run("sh", "-c", f"umount {path} 2>/dev/null || true")
        lay_out(host, FSUUID, facts)
        assert take_over(host, FSUUID, facts).record.node == "n1"
        run("umount", str(path))

    assert every_crash(fresh, lambda: lay_out(host, FSUUID, facts), check) >= 6
