"""Devices that this machine does not have, as the kernel's trees would show them: plain files in a folder."""

import os

import pytest

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.core.rules import denials
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots

ROOT_MOUNT = "1 0 0:1 / / rw - overlay overlay rw\n"


class Machine:
    """A sysfs, a proc and a udev database made of files."""

    def __init__(self, base):
        self.roots = Roots(sys=base / "sys", udev=base / "udev", proc=base / "proc", dev=base / "dev")
        for folder in ("sys/class/block", "sys/dev/block", "udev", "proc/self", "proc/1", "dev"):
            (base / folder).mkdir(parents=True)
        self.mounts(ROOT_MOUNT)

    def mounts(self, text, process="self"):
        (self.roots.proc / process / "mountinfo").write_text(text)

    def device(self, name, number, size=10**6, **attributes):
        block = self.roots.sys / "class/block" / name
        block.mkdir()
        (self.roots.sys / "dev/block" / number).symlink_to(block)
        for key, value in {"dev": number, "size": size, **attributes}.items():
            path = block / key.replace(".", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{value}\n")
        return block

    def probe(self):
        return {facts.name: facts for facts in Prober(("*",), roots=self.roots).probe()}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_name_with_a_slash_is_found_under_the_name_that_it_has_in_dev(machine):
    machine.device("cciss!c0d0", "104:0")
    facts = Prober(("cciss/*",), roots=machine.roots).probe_one("cciss/c0d0")
    assert (facts.name, facts.major_minor) == ("cciss/c0d0", "104:0")
    by_number = Prober(("*",), roots=machine.roots).probe_number("104:0")
    assert by_number.name == "cciss/c0d0"


def test_a_number_that_goes_to_another_device_meanwhile_finds_nothing(machine):
    block = machine.device("sda", "8:0")
    (block / "dev").write_text("8:16\n")
    assert Prober(("*",), roots=machine.roots).probe_number("8:0") is None


def test_records_of_udev_whose_device_is_gone_do_no_harm(machine):
    machine.device("sda", "8:0")
    (machine.roots.udev / "b8:0").write_text("E:ID_MODEL=Disk9\n")
    (machine.roots.udev / "b8:16").write_text("E:ID_MODEL=Gone\n")
    assert {name: facts.make for name, facts in machine.probe().items()} == {"sda": "Disk9"}


def test_a_broken_entry_does_not_hide_the_others(machine):
    block = machine.roots.sys / "class/block"
    (block / "sdx").symlink_to(block / "nowhere")
    (block / "sdy").mkdir()
    (block / "sdz").write_text("")
    machine.device("sdw", "8:240", size="garbage")
    (machine.roots.udev / "b8:240").mkdir()
    machine.device("sda", "8:0")
    found = machine.probe()
    assert set(found) == {"sda", "sdw"}
    assert denials(found["sdw"], registered=(), own=()) == ("Too small",)


def test_flags_and_names_are_read_from_sysfs(machine):
    names = {"dm.name": "vg-lv", "device.vendor": "ATA ", "device.model": "X  9"}
    machine.device("dm-0", "253:0", hidden=1, removable=1, ro=1, **names)
    (machine.roots.sys / "class/block/dm-0/holders").mkdir()
    (machine.roots.sys / "class/block/dm-0/holders/dm-1").mkdir()
    facts = machine.probe()["dm-0"]
    assert (facts.hidden, facts.removable, facts.read_only, facts.holders) == (True, True, True, ("dm-1",))
    assert facts.make == "vg-lv ATA X 9"


def test_an_optical_drive_is_seen_and_never_opened(machine):
    machine.device("sr0", "11:0")
    (machine.roots.proc / "sys/dev/cdrom").mkdir(parents=True)
    (machine.roots.proc / "sys/dev/cdrom/info").write_text("drive name:\tsr0\n")
    facts = machine.probe()["sr0"]
    assert denials(facts, registered=(), own=()) == ("Too small", "CDROM")
    assert facts.unreadable == ""


def test_a_mount_of_the_hosts_first_process_counts(machine):
    machine.device("sda", "8:0")
    machine.mounts("1 0 8:0 / /host/data rw - xfs /dev/sda rw\n", process="1")
    assert machine.probe()["sda"].mount_points == ("/host/data",)


def test_without_any_mount_table_nothing_is_said_to_be_unused(machine):
    machine.device("sda", "8:0")
    machine.mounts("")
    with pytest.raises(DriveFault, match="mount table"):
        machine.probe()


def test_every_member_of_a_mounted_btrfs_is_mounted(machine):
    for name, number in (("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32")):
        machine.device(name, number)
        os.mknod(machine.roots.dev / name, 0o060600, os.makedev(*map(int, number.split(":"))))
    devices = machine.roots.sys / "fs/btrfs/8f1c8c7e/devices"
    devices.mkdir(parents=True)
    for member in ("sda", "sdb"):
        (devices / member).mkdir()
    machine.mounts(f"{ROOT_MOUNT}2 1 0:45 / /pool rw - btrfs /dev/sda rw\n")
    found = machine.probe()
    assert found["sda"].mount_points == found["sdb"].mount_points == ("/pool",)
    assert found["sdc"].mount_points == ()


def test_a_mounted_btrfs_is_recognised_by_its_source_alone(machine):
    machine.device("sda", "8:0")
    os.mknod(machine.roots.dev / "sda", 0o060600, os.makedev(8, 0))
    machine.mounts(f"{ROOT_MOUNT}2 1 0:45 / /pool rw - btrfs /dev/sda rw\n")
    assert machine.probe()["sda"].mount_points == ("/pool",)
