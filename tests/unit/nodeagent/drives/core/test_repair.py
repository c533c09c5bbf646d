"""When a drive may be repaired, and what xfs_repair's answers mean."""

from dataclasses import replace
from typing import Any

import pytest

from directpv_common.protocol.errors import Busy, FailedPrecondition
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveRecord,
    DriveStatus,
    RepairDrive,
    RepairOutcome,
)
from directpv_common.protocol.units import GIB, MIB, TIB
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.samples import backup_offsets
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.drives.core import repair
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable

ID, OTHER = "7f0d3a5c-0000-4000-8000-000000000001", "7f0d3a5c-0000-4000-8000-000000000002"
REQUEST = RepairDrive(fsuuid=ID, id="r1")
OWN = Superblock(ID, "DIRECTPV", 4096, 2 * GIB // 4096, 1000)
FOREIGN = replace(OWN, fsuuid=OTHER)


def drive(status: DriveStatus = DriveStatus.ERROR, *conditions: ConditionType) -> Drive:
    why = tuple(Condition(type=kind, message="why", since="") for kind in conditions)
    record = DriveRecord(fsuuid=ID, node="n1", total=2 * GIB, overhead=MIB, device="sda", status=status, conditions=why)
    return Drive(Contents(DriveView("/root", ID, "8:0", "sda", enforced=True), record, {}, {}, {}, {}))


def device(**facts: Any) -> DeviceFacts:
    return DeviceFacts(**{"name": "sda", "major_minor": "8:0", "size": 2 * GIB} | facts)


def mount(root: str, path: str, number: str = "8:0") -> Mount:
    return Mount(1, 0, number, root, path, "rw", "xfs", "/dev/sda", "rw")


PLACE = f"/root/mnt/{ID}"


class TestArguments:
    def test_flags_are_those_of_upstream_and_a_dry_run_never_throws_a_log_away(self) -> None:
        def of(**flags: bool) -> set[str]:
            return set(repair.arguments(RepairDrive(fsuuid=ID, id="x", **flags), "/dev/sda"))

        assert repair.arguments(REQUEST, "/dev/sda")[0] == "xfs_repair"
        assert repair.arguments(REQUEST, "/dev/sda")[-2:] == ("--", "/dev/sda")
        assert {"-L", "-P", "-n"}.isdisjoint(of())
        assert "-L" not in of(force=True)
        assert "-P" in of(disable_prefetch=True)
        dry = of(dry_run=True, force=True)
        assert "-n" in dry
        assert {"-L", "-e"}.isdisjoint(dry)

    def test_a_log_is_thrown_away_only_by_force_and_only_after_it_could_not_be_replayed(self) -> None:
        forced = RepairDrive(fsuuid=ID, id="x", force=True)

        assert repair.must_zero_log(forced, 2)
        assert "-L" in repair.arguments(forced, "/dev/sda", zero_log=True)
        assert not any(repair.must_zero_log(forced, status) for status in (0, 1, 4, -9))
        assert not repair.must_zero_log(REQUEST, 2)
        assert not repair.must_zero_log(RepairDrive(fsuuid=ID, id="x", force=True, dry_run=True), 2)

    def test_only_the_same_work_on_the_same_drive_is_joined(self) -> None:
        assert repair.same_work(REQUEST, RepairDrive(fsuuid=ID, id="r2"))
        assert not repair.same_work(REQUEST, RepairDrive(fsuuid=ID, id="r1", force=True))
        assert not repair.same_work(REQUEST, RepairDrive(fsuuid=OTHER, id="r1"))


class TestJudgement:
    @pytest.mark.parametrize(
        ("exit_status", "outcome"),
        [(0, "Clean"), (4, "Repaired"), (2, "Failed"), (1, "Failed"), (-9, "Failed"), (77, "Failed")],
    )
    def test_a_repair(self, exit_status: int, outcome: str) -> None:
        assert repair.judge(REQUEST, exit_status).outcome == outcome

    @pytest.mark.parametrize(("exit_status", "outcome"), [(0, "Clean"), (1, "Damaged"), (2, "Failed"), (-9, "Failed")])
    def test_a_dry_run(self, exit_status: int, outcome: str) -> None:
        assert repair.judge(RepairDrive(fsuuid=ID, id="x", dry_run=True), exit_status).outcome == outcome

    def test_a_dirty_log_advises_force_and_says_what_is_lost(self) -> None:
        verdict = repair.judge(REQUEST, 2)

        assert verdict.outcome is RepairOutcome.FAILED
        assert "--force" in verdict.message
        assert "lost" in verdict.message

    def test_the_end_of_a_long_output_begins_with_a_whole_line(self) -> None:
        output = b"".join(b"inode %d is bad\n" % number for number in range(1000))[-repair.OUTPUT_BYTES :]

        lines = repair.end_of(output).splitlines()
        assert lines[-1] == "inode 999 is bad"
        assert all(line.startswith("inode ") for line in lines)
        assert repair.end_of(b"short\n") == "short"


class TestState:
    @pytest.mark.parametrize("status", [DriveStatus.READY, DriveStatus.ERROR])
    def test_a_drive_that_is_well_or_broken_may_be_repaired(self, status: DriveStatus) -> None:
        repair.check_state(drive(status))
        repair.check_state(drive(DriveStatus.ERROR, ConditionType.IO_ERROR))

    @pytest.mark.parametrize("status", [DriveStatus.MOVING, DriveStatus.REMOVED])
    def test_other_peoples_operations_are_not_disturbed(self, status: DriveStatus) -> None:
        with pytest.raises(FailedPrecondition, match=status.value):
            repair.check_state(drive(status))

    def test_copies_must_go_first(self) -> None:
        with pytest.raises(FailedPrecondition, match="remove all devices but"):
            repair.check_state(drive(DriveStatus.ERROR, ConditionType.MULTIPLE_MATCHES))

    def test_operations_under_way_are_named(self) -> None:
        repair.check_turns(drive(), [])
        with pytest.raises(Busy, match="stage of pvc-1"):
            repair.check_turns(drive(), ["stage of pvc-1"])


class TestUse:
    def test_a_drive_that_is_mounted_at_its_own_place_only_is_free(self) -> None:
        table = MountTable([mount("/", PLACE), mount("/", "/data", "8:16")])

        repair.check_unused(drive(), "8:0", table)

    @pytest.mark.parametrize(("root", "shown"), [("/pvc-1", "pvc-1 at /s"), ("/", "the whole drive at /s")])
    def test_any_other_mount_of_it_is_named(self, root: str, shown: str) -> None:
        table = MountTable([mount("/", PLACE), mount(root, "/s")])

        with pytest.raises(FailedPrecondition, match=shown):
            repair.check_unused(drive(), "8:0", table)

    def test_a_dead_mount_at_its_place_counts_with_those_that_use_it(self) -> None:
        table = MountTable([mount("/", PLACE, "8:32"), mount("/pvc-1", "/s", "8:32")])

        with pytest.raises(FailedPrecondition, match="pvc-1"):
            repair.check_unused(drive(), "8:0", table)

    def test_many_uses_are_counted(self) -> None:
        table = MountTable([mount(f"/pvc-{number}", f"/s{number}") for number in range(9)])

        with pytest.raises(FailedPrecondition, match="and 4 more"):
            repair.check_unused(drive(), "8:0", table)


class TestDevice:
    def test_the_drives_own_super_block_is_enough(self) -> None:
        repair.check_device(drive(), device(superblock=OWN), ())

    def test_a_damaged_super_block_is_accepted_with_a_backup_or_if_nothing_else_is_there(self) -> None:
        repair.check_device(drive(), device(), (OWN,))
        repair.check_device(drive(), device(signatures=("xfs",)), ())
        repair.check_device(drive(), device(), (FOREIGN, OWN))

    @pytest.mark.parametrize(
        ("facts", "backups"),
        [
            ({"superblock": FOREIGN}, ()),
            ({"superblock": FOREIGN}, (OWN,)),
            ({}, (FOREIGN,)),
            ({"signatures": ("ext4",)}, (OWN,)),
            ({"partitioned": True}, (OWN,)),
            ({"signatures": ("LVM2_member", "xfs")}, ()),
        ],
    )
    def test_a_device_that_shows_something_else_is_refused(self, facts: dict[str, Any], backups: Any) -> None:
        with pytest.raises(FailedPrecondition, match="instead"):
            repair.check_device(drive(), device(**facts), backups)

    @pytest.mark.parametrize(
        "facts",
        [
            {"holders": ("dm-0",)},
            {"swap": True},
            {"shadow": OWN},
            {"unreadable": "I/O error"},
        ],
    )
    def test_a_device_of_somebody_else_is_refused_even_with_the_drives_super_block(self, facts: dict[str, Any]) -> None:
        with pytest.raises(FailedPrecondition, match="cannot be repaired: device sda"):
            repair.check_device(drive(), device(**{"superblock": OWN} | facts), (OWN,))

    def test_a_device_that_shrank_is_refused_since_repair_would_drop_what_is_out_of_reach(self) -> None:
        for shown in ({"superblock": OWN}, {}):
            with pytest.raises(FailedPrecondition, match="Enlarge"):
                repair.check_device(drive(), device(size=GIB, **shown), (OWN,))

    def test_a_lost_drive_needs_proof(self) -> None:
        repair.check_device(drive(DriveStatus.LOST), device(), (OWN,))
        with pytest.raises(FailedPrecondition, match="plug it in"):
            repair.check_device(drive(DriveStatus.LOST), device(), ())


@pytest.mark.parametrize(
    ("total", "group"),
    [(600 * MIB, 150 * MIB), (1100 * MIB, 275 * MIB), (3 * TIB, 3 * TIB // 4), (16 * TIB, TIB - 4096)],
)
def test_backups_are_looked_for_where_mkfs_puts_them(total: int, group: int) -> None:
    offsets = list(backup_offsets(total))

    assert group in offsets
    assert len(offsets) == len(set(offsets)) < 250
    assert all(0 < offset < total for offset in offsets)
