"""Which devices are drives of this node, whose they are, and how much of them can be given away."""

from dataclasses import replace
from typing import Any

import pytest

from directpv_common.protocol.inodes import set_aside
from directpv_common.protocol.messages import DriveRecord
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.drives.core import standing
from directpv_nodeagent.drives.core.standing import Standing, Verdict
from directpv_nodeagent.linux.core.mountinfo import parse

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
OTHER = "00000000-0000-4000-8000-000000000000"


def device(name: str, fsuuid: str = FSUUID, label: str = "DIRECTPV") -> DeviceFacts:
    block = Superblock(fsuuid=fsuuid, label=label, block_size=4096, data_blocks=100, free_blocks=90)
    return DeviceFacts(name=name, major_minor="8:16", superblock=block)


def test_a_known_drive_that_cannot_be_read_is_broken_and_not_gone() -> None:
    udev = {"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": FSUUID}
    broken = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, udev=udev, unreadable="Input/output error")

    assert standing.candidates([broken], {FSUUID: ""}) == {FSUUID: [broken]}
    assert standing.candidates([broken], {}) == {}


DISK = "serial:S1 1073741824"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"unreadable": "Input/output error", "identity": DISK}, id="unreadable, by its disk"),
        pytest.param(
            {"unreadable": "hung", "udev": {"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": FSUUID}}, id="unreadable, by udev"
        ),
        pytest.param({"identity": DISK}, id="without super block"),
    ],
)
def test_a_broken_disk_that_carried_a_drive_before_a_restart_is_that_drive(broken: dict[str, Any]) -> None:
    facts = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, **broken)

    assert standing.candidates([facts], {}, {FSUUID: DISK}) == {FSUUID: [facts]}
    assert standing.candidates([facts], {}, {}) == {}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"identity": "serial:S2 1073741824"}, id="another disk"),
        pytest.param({}, id="a disk that does not say which it is"),
        pytest.param({"identity": DISK, "signatures": ("ext4",)}, id="given to something else"),
        pytest.param({"identity": DISK, "mount_points": ("/data",)}, id="mounted as something else"),
        pytest.param({"identity": DISK, "swap": True}, id="swap"),
        pytest.param({"identity": DISK, "users": ("a raw block volume",)}, id="a raw block volume"),
        pytest.param(
            {"identity": DISK, "unreadable": "hung", "udev": {"E:ID_FS_TYPE": "ext4"}}, id="unreadable, was ext4"
        ),
        pytest.param(
            {"identity": DISK, "unreadable": "hung", "udev": {"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": OTHER[::-1]}},
            id="unreadable, was another XFS",
        ),
        pytest.param({"identity": DISK, "unreadable": "hung", "holders": ("dm-0",)}, id="unreadable, part of another"),
    ],
)
def test_a_disk_that_is_another_one_now_is_not_taken_for_what_was_there(other: dict[str, Any]) -> None:
    facts = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, **other)

    assert standing.candidates([facts], {}, {FSUUID: DISK, OTHER: ""}) == {}


@pytest.mark.parametrize(
    "broken", [{"unreadable": "Input/output error"}, {}], ids=["unreadable", "without super block"]
)
def test_a_disk_that_two_drives_were_on_is_shown_as_neither(broken: dict[str, Any]) -> None:
    facts = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, identity=DISK, **broken)

    assert standing.candidates([facts], {}, {FSUUID: DISK, OTHER: DISK}) == {}


def test_the_disk_of_a_drive_that_is_known_is_not_shown_as_what_it_was_before_too() -> None:
    facts = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, identity=DISK)

    assert standing.candidates([facts], {FSUUID: "8:16"}, {OTHER: DISK}) == {FSUUID: [facts]}


def test_a_disk_that_one_of_its_paths_shows_whole_is_not_broken() -> None:
    failed = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, identity=DISK, unreadable="Input/output error")
    whole = replace(device("sdc"), identity=DISK)

    assert standing.candidates([failed, whole], {}, {OTHER: DISK}) == {FSUUID: [whole]}


@pytest.mark.parametrize(
    "used",
    [
        pytest.param({"mount_points": ("/data",), "udev": {"E:ID_FS_TYPE": "ext4"}}, id="mounted as something else"),
        pytest.param({"swap": True}, id="swap"),
    ],
)
def test_the_device_of_a_known_drive_that_is_used_as_something_else_is_its_no_more(used: dict[str, Any]) -> None:
    facts = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, **used)

    assert standing.candidates([facts], {FSUUID: "8:16"}) == {}


def test_a_known_drive_that_lost_its_super_block_while_it_is_mounted_is_broken_and_not_gone() -> None:
    facts = DeviceFacts(
        name="sdb", major_minor="8:16", size=1 << 30, mount_points=(f"/var/lib/directpv/mnt/{FSUUID}", "/pods/volume")
    )

    assert standing.candidates([facts], {FSUUID: "8:16"}) == {FSUUID: [facts]}
    assert standing.candidates([facts], {}, {FSUUID: ""}) == {}
    assert standing.candidates([replace(facts, identity=DISK)], {}, {FSUUID: DISK}) == {
        FSUUID: [replace(facts, identity=DISK)]
    }


def test_a_drive_that_was_copied_to_a_whole_disk_is_there() -> None:
    broken = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30, identity=DISK)
    whole = device("sdc")

    assert standing.candidates([broken, whole], {}, {FSUUID: DISK}) == {FSUUID: [whole]}


@pytest.mark.parametrize("label", ["DIRECTPV", "DIRECTCSI"])
def test_file_systems_with_our_labels_are_candidates(label: str) -> None:
    assert standing.candidates([device("sdb", label=label)], {}) == {FSUUID: [device("sdb", label=label)]}


def test_a_known_drive_is_a_candidate_whatever_its_label() -> None:
    found = [device("sdb", label="renamed"), device("sdc", OTHER, "renamed"), DeviceFacts("sdd", "8:48")]

    assert standing.candidates(found, {FSUUID: ""}).keys() == {FSUUID}


def test_a_partition_that_the_kernel_sees_in_a_drive_is_no_copy_of_it() -> None:
    phantom = replace(device("sdb1"), disk="sdb")
    assert standing.candidates([device("sdb"), phantom], {}) == {FSUUID: [device("sdb")]}


def test_two_devices_with_one_fsuuid_stay_together() -> None:
    assert [d.name for d in standing.candidates([device("sdb"), device("sdc")], {})[FSUUID]] == ["sdb", "sdc"]


def record(node: str = "n1", fsuuid: str = FSUUID) -> DriveRecord:
    return DriveRecord(fsuuid=fsuuid, node=node, total=1, overhead=0)


@pytest.mark.parametrize(
    ("named", "found", "expected"),
    [
        pytest.param(FSUUID, record(), Verdict.OURS, id="names this node"),
        pytest.param(FSUUID, None, Verdict.ADOPT, id="laid out by upstream"),
        pytest.param(FSUUID, record("n2"), Verdict.FOREIGN, id="another node's"),
        pytest.param(FSUUID, record(fsuuid=OTHER), Verdict.FOREIGN, id="record of another drive: a copy"),
        pytest.param(OTHER, record(), Verdict.NO_DRIVE, id="meta.info of another drive: a copy"),
        pytest.param(None, record(), Verdict.NO_DRIVE, id="no meta.info"),
    ],
)
def test_a_drive_is_ours_only_if_all_that_it_says_fits(
    named: str | None, found: DriveRecord | None, expected: Verdict
) -> None:
    assert standing.verdict("n1", FSUUID, named, found) is expected


MOUNTED = "5 1 8:16 / /mnt/u rw - xfs /dev/sdb rw\n"
BOUND = "6 1 8:16 /pvc-1 /pod rw - xfs /dev/sdb rw\n"


@pytest.mark.parametrize(
    ("lines", "device", "alive", "expected"),
    [
        pytest.param("", "8:16", True, Standing.NOTHING, id="not mounted"),
        pytest.param(MOUNTED, "8:16", True, Standing.RIGHT, id="mounted, as after a restart"),
        pytest.param(MOUNTED, "8:32", True, Standing.OTHER, id="a living device that is another"),
        pytest.param(MOUNTED, "8:32", False, Standing.DEAD, id="pulled, back under another name"),
        pytest.param(MOUNTED, "8:16", False, Standing.DEAD, id="shut down"),
        pytest.param(MOUNTED + BOUND, "8:32", False, Standing.DEAD, id="pulled while a pod uses it"),
    ],
)
def test_what_is_mounted_at_a_drives_place_decides(lines: str, device: str, alive: bool, expected: Standing) -> None:
    assert standing.standing(parse(lines), "/mnt/u", device, alive=alive) is expected


def test_the_overhead_of_a_new_drive_is_the_larger_of_both_accounts() -> None:
    assert standing.overhead_at_init(1000, 950, 940) == 60 + set_aside(940)
    assert standing.overhead_at_init(1000, 930, 940) == 70 + set_aside(930)


def test_what_volumes_use_is_no_overhead_of_an_adopted_drive() -> None:
    assert standing.overhead_of_adopted(1000, 600, 350) == 50
    assert standing.overhead_of_adopted(1000, 600, 500) == 0


BLANK = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 30)


def test_a_known_drive_whose_super_block_is_gone_is_broken_and_not_gone() -> None:
    assert standing.candidates([BLANK], {FSUUID: "8:16"}) == {FSUUID: [BLANK]}


@pytest.mark.parametrize(
    ("found", "known"),
    [
        pytest.param(BLANK, {FSUUID: ""}, id="the drive was lost before, so this is another disk"),
        pytest.param(BLANK, {FSUUID: "8:32"}, id="another device carried it"),
        pytest.param(replace(BLANK, signatures=("ext4",)), {FSUUID: "8:16"}, id="it was given to something else"),
        pytest.param(replace(BLANK, holders=("dm-0",)), {FSUUID: "8:16"}, id="something holds it"),
        pytest.param(replace(device("sdb", OTHER), size=1 << 30), {FSUUID: "8:16"}, id="it was formatted anew"),
    ],
)
def test_a_device_without_the_super_block_of_a_drive_is_not_taken_for_it_if(
    found: DeviceFacts, known: dict[str, str]
) -> None:
    assert FSUUID not in standing.candidates([found], known)


def test_a_device_that_is_still_being_read_keeps_its_drive() -> None:
    pending = replace(BLANK, pending=True)
    assert standing.candidates([pending], {FSUUID: "8:16"}) == {FSUUID: [pending]}
