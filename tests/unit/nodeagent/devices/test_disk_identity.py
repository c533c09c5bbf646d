"""Which devices are one disk: all that is known of them must agree, and what every disk says proves nothing."""

import pytest

from directpv_nodeagent.devices.core.disk_identity import identity, with_paths
from directpv_nodeagent.devices.core.facts import DeviceFacts

DISK = {"E:ID_WWN_WITH_EXTENSION": "0x5000c500a1b2c3d4", "E:ID_SERIAL": "ST1_ZA1", "E:ID_SERIAL_SHORT": "ZA1"}


def test_paths_to_one_disk_have_one_identity_and_its_partitions_another() -> None:
    assert identity("sda", 100, DISK) == identity("sdq", 100, DISK) != ""
    assert identity("sda1", 50, {**DISK, "E:ID_PART_ENTRY_NUMBER": "1"}) not in ("", identity("sda", 50, DISK))


@pytest.mark.parametrize(
    "change",
    [
        {"E:ID_WWN_WITH_EXTENSION": "0x5000c500a1b2c3d5"},
        {"E:ID_SERIAL_SHORT": "ZA2"},
        {"E:ID_NSID": "2"},
        {"E:ID_INSTANCE": "0:1"},
    ],
)
def test_disks_that_differ_in_anything_are_not_one(change: dict[str, str]) -> None:
    assert identity("sda", 100, DISK) != identity("sdb", 100, {**DISK, **change})
    assert identity("sda", 100, DISK) != identity("sdb", 101, DISK)


@pytest.mark.parametrize(
    "udev",
    [
        {},
        {"E:ID_SERIAL": "QEMU_HARDDISK"},
        {"E:ID_SERIAL": "QEMU_HARDDISK", "E:ID_WWN": "0x0000000000000000", "E:ID_SERIAL_SHORT": "0000-0000"},
    ],
)
def test_a_disk_that_says_nothing_of_itself_has_no_identity(udev: dict[str, str]) -> None:
    assert identity("sda", 100, udev) == ""


def test_a_serial_number_of_virtio_and_a_wwid_of_sysfs_count() -> None:
    assert identity("vda", 100, {"E:ID_SERIAL": "disk-1"}) != ""
    assert identity("nvme0n1", 100, {}, wwid="eui.0025385b71b00a6f") != ""


def test_the_path_in_use_stands_for_the_disk_else_the_first_as_the_kernel_counts() -> None:
    def paths(*found: DeviceFacts) -> dict[str, str]:
        return {facts.name: facts.path_of for facts in with_paths(found)}

    idle = [DeviceFacts(name=name, major_minor=name, identity="x") for name in ("sdaa", "sdb", "sdc")]
    assert paths(*idle) == {"sdaa": "sdb", "sdb": "", "sdc": "sdb"}
    used = DeviceFacts(name="sdd", major_minor="8:48", identity="x", mount_points=("/mnt",))
    assert paths(*idle, used) == {"sdaa": "sdd", "sdb": "sdd", "sdc": "sdd", "sdd": ""}
    assert paths(DeviceFacts(name="sda", major_minor="8:0"), DeviceFacts(name="sdb", major_minor="8:16")) == {
        "sda": "",
        "sdb": "",
    }
