"""Which devices may become drives."""

from dataclasses import replace

import pytest

from directpv_common.protocol.errors import FailedPrecondition, NotFound
from directpv_common.protocol.messages import FormatDevice
from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.rules import denials, describe
from directpv_nodeagent.devices.core.signatures import with_content
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.drives.filesystem.mkfs import check

MIN = 512 * 1024 * 1024
FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"
BLANK = DeviceFacts(name="sdb", major_minor="8:16", size=MIN)
DRIVE = replace(BLANK, superblock=Superblock(FSUUID, "DIRECTPV", 4096, MIN // 4096, 1), signatures=("xfs",))
EVERYTHING = replace(
    DRIVE,
    size=MIN - 1,
    hidden=True,
    read_only=True,
    partitioned=True,
    holders=("dm-0", "md0"),
    mount_points=("/a", "/b"),
    swap=True,
    cdrom=True,
)


def show(facts, *, registered=(), own=()):
    return describe(facts, "n1", registered=registered, own=own)


def test_a_blank_device_of_512_mib_may_be_formatted_without_force():
    device = show(BLANK)
    assert (device.denied, device.needs_force, device.fs_type) == ((), False, "")


def test_a_drive_whose_super_block_is_damaged_looks_blank_and_may_not_be_formatted_even_by_force():
    device = show(BLANK, own={FSUUID, BLANK.major_minor})
    assert device.denied == ("Used by DirectPV",)
    request = FormatDevice(id=device.id, name="sdb", force=True)
    with pytest.raises(FailedPrecondition, match="Used by DirectPV"):
        check(BLANK, "n1", request, registered=(), own={FSUUID, BLANK.major_minor})


def test_all_reasons_are_given_in_upstreams_words_and_order():
    assert denials(EVERYTHING, registered={FSUUID}, own=()) == (
        "Too small",
        "Hidden",
        "Read only",
        "Partitioned",
        "Held by other device",
        "Mounted",
        "Swap",
        "CDROM",
        "Used by DirectPV",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": MIN - 1}, "Too small"),
        ({"hidden": True}, "Hidden"),
        ({"read_only": True}, "Read only"),
        ({"partitioned": True}, "Partitioned"),
        ({"holders": ("dm-0",)}, "Held by other device"),
        ({"mount_points": ("/mnt",)}, "Mounted"),
        ({"swap": True}, "Swap"),
        ({"cdrom": True}, "CDROM"),
        ({"unreadable": "sdb: no medium"}, "Not readable: sdb: no medium"),
    ],
)
def test_each_fact_alone_forbids_and_no_force_helps(change, reason):
    facts = replace(BLANK, **change)
    assert denials(facts, registered=(), own=()) == (reason,)
    request = FormatDevice(id=device_id(facts, "n1"), name="sdb", force=True)
    with pytest.raises(FailedPrecondition, match=f"^device init not permitted; {reason}"):
        check(facts, "n1", request, registered=(), own=())


def test_removable_media_may_be_formatted():
    assert show(replace(BLANK, removable=True)).denied == ()


@pytest.mark.parametrize(("registered", "own"), [({FSUUID}, ()), ((), {FSUUID})])
def test_a_drive_of_the_registry_or_of_this_agent_is_never_formatted(registered, own):
    assert show(DRIVE, registered=registered, own=own).denied == ("Used by DirectPV",)


def test_a_registered_drive_is_known_by_udev_when_it_cannot_be_read():
    hung = replace(BLANK, udev={"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": FSUUID.upper()}, unreadable="hung")
    assert "Used by DirectPV" in show(hung, registered={FSUUID}).denied


def test_the_uuid_of_another_file_system_is_not_taken_for_a_drives():
    ext4 = replace(BLANK, udev={"E:ID_FS_TYPE": "ext4", "E:ID_FS_UUID": FSUUID})
    assert show(ext4, registered={FSUUID}).denied == ()


@pytest.mark.parametrize("label", ["DIRECTPV", "DIRECTCSI"])
def test_a_drive_that_no_registry_knows_needs_force_and_is_called_what_it_looks_like(label):
    stray = replace(DRIVE, superblock=replace(DRIVE.superblock, label=label))
    device = show(stray)
    assert device.needs_force
    assert device.fs_type == "xfs (looks like a DirectPV drive)"
    assert device.fsuuid == FSUUID
    with pytest.raises(FailedPrecondition, match=r"looks like a DirectPV drive.*force"):
        check(stray, "n1", FormatDevice(id=device.id, name="sdb"), registered=(), own=())


@pytest.mark.parametrize(
    ("holders", "signatures"),
    [(("dm-0",), ("xfs",)), ((), ("linux_raid_member", "xfs")), ((), ("isw_raid_member", "xfs"))],
)
def test_a_path_or_mirror_member_of_a_drive_is_not_the_drive_but_is_protected_as_one(holders, signatures):
    member = with_content(replace(BLANK, holders=holders), DRIVE.superblock, signatures)
    assert member.superblock is None
    assert "Used by DirectPV" in show(member, registered={FSUUID}).denied
    assert "looks like a DirectPV drive" in show(member).fs_type


def test_a_drive_with_other_leftovers_is_still_the_drive():
    assert with_content(BLANK, DRIVE.superblock, ("xfs", "zfs_member")).superblock == DRIVE.superblock


def test_an_xfs_of_somebody_else_does_not_look_like_a_drive():
    other = replace(DRIVE, superblock=replace(DRIVE.superblock, label="backup"))
    assert show(other).fs_type == "xfs"


@pytest.mark.parametrize(
    "signature",
    ["LVM2_member", "crypto_LUKS", "linux_raid_member", "zfs_member", "ceph_bluestore", "btrfs", "ext4", "gpt", "dos"],
)
@pytest.mark.parametrize("source", ["read", "udev"])
def test_every_foreign_signature_is_shown_and_needs_force(signature, source):
    key = "E:ID_PART_TABLE_TYPE" if signature in ("gpt", "dos") else "E:ID_FS_TYPE"
    facts = replace(BLANK, signatures=(signature,)) if source == "read" else replace(BLANK, udev={key: signature})
    device = show(facts)
    assert (device.fs_type, device.needs_force) == (signature, True)
    with pytest.raises(FailedPrecondition, match=signature):
        check(facts, "n1", FormatDevice(id=device.id, name="sdb"), registered=(), own=())
    assert check(facts, "n1", FormatDevice(id=device.id, name="sdb", force=True), registered=(), own=()) is facts


def test_several_signatures_are_all_shown():
    assert show(replace(BLANK, signatures=("ext4", "linux_raid_member"))).fs_type == "ext4, linux_raid_member"


def test_a_blank_partition_does_not_carry_its_disks_partition_table():
    part = replace(BLANK, udev={"E:ID_PART_TABLE_TYPE": "gpt", "E:ID_PART_ENTRY_NUMBER": "1"})
    assert not show(part).needs_force


@pytest.mark.parametrize(
    ("dm_name", "udev", "make"),
    [
        ("", {}, ""),
        ("vg-lv", {}, "vg-lv"),
        ("", {"E:ID_VENDOR": "ATA", "E:ID_MODEL": "Disk9"}, "ATA Disk9"),
        ("", {"E:ID_MODEL": "Disk9", "E:ID_PART_ENTRY_NUMBER": "3"}, "Disk9 (Part 3)"),
        ("mpatha", {"E:ID_VENDOR": "", "E:ID_MODEL": "Disk9"}, "mpatha Disk9"),
    ],
)
def test_make_is_composed_of_what_is_known(dm_name, udev, make):
    assert show(replace(BLANK, dm_name=dm_name, udev=udev)).make == make


def test_a_device_that_is_gone_is_not_found():
    with pytest.raises(NotFound, match=r"^device not found.*discover"):
        check(None, "n1", FormatDevice(id="8:16$x", name="sdb"), registered=(), own=())


def test_a_device_that_changed_since_discover_is_refused_with_what_to_do():
    request = FormatDevice(id=device_id(BLANK, "n1"), name="sdb", force=True)
    with pytest.raises(FailedPrecondition, match=r"^device state changed.*discover again"):
        check(replace(BLANK, size=MIN * 2), "n1", request, registered=(), own=())


def test_a_request_that_names_another_device_than_its_id_is_refused():
    request = FormatDevice(id=device_id(BLANK, "n1"), name="sdc")
    with pytest.raises(FailedPrecondition, match="device state changed"):
        check(BLANK, "n1", request, registered=(), own=())
