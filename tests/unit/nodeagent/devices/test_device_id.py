"""Device ids: the same as upstream's, and new whenever anything about the device is."""

from dataclasses import replace

import pytest

from directpv_nodeagent.devices.core.device_id import device_id, number_of
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.devices.core.udev_data import parse_udev

BARE = DeviceFacts(name="vdb", major_minor="252:16", size=1073741824)
NODE = "worker-7"
XFS = Superblock("8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11", "DIRECTPV", 4096, 131072, 100000)


def test_a_device_without_udev_record_has_the_id_that_upstream_gives_it():
    assert device_id(BARE, NODE) == "252:16$eqS9aVl/eebum2R9QVW2uqEc8xmXuSiDViaxTlbR/es="


def test_udev_records_enter_the_id_as_upstream_splits_them():
    udev = parse_udev("E:ID_MODEL=Disk9\nE:ID_VENDOR=Acme\nI:1234567\n")
    assert device_id(replace(BARE, udev=udev), NODE) == "252:16$eXZMa4GT7Nuw07G+0lNNFbkSOCaXYYDRDbct60mvJn8="


def test_the_order_of_udev_lines_does_not_change_the_id():
    lines = ["S:disk/by-id/x", "E:ID_MODEL=Disk9", "I:1234567", "G:systemd"]
    forwards, backwards = ("\n".join(order) + "\n" for order in (lines, lines[::-1]))
    assert device_id(replace(BARE, udev=parse_udev(forwards)), NODE) == device_id(
        replace(BARE, udev=parse_udev(backwards)), NODE
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "vdc"},
        {"major_minor": "252:32"},
        {"size": 1073741825},
        {"hidden": True},
        {"removable": True},
        {"read_only": True},
        {"partitioned": True},
        {"holders": ("dm-0",)},
        {"dm_name": "vg-lv"},
        {"mount_points": ("/mnt",)},
        {"swap": True},
        {"cdrom": True},
        {"udev": {"I:1\n": ""}},
        {"signatures": ("ext4",)},
        {"superblock": XFS},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_about_a_device_changes_its_id(change):
    assert device_id(replace(BARE, **change), NODE) != device_id(BARE, NODE)


def test_another_node_gives_another_id():
    assert device_id(BARE, "worker-8") != device_id(BARE, NODE)


def test_what_udev_knows_already_is_not_hashed_twice():
    udev = {"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": XFS.fsuuid}
    read = replace(BARE, udev=udev, superblock=XFS, signatures=("xfs",))
    assert device_id(read, NODE) == device_id(replace(BARE, udev=udev), NODE)


def test_what_was_read_of_another_file_system_that_udev_knows_is_not_hashed_either():
    udev = {"E:ID_FS_TYPE": "ext4", "E:ID_FS_UUID": XFS.fsuuid}
    read = replace(BARE, udev=udev, signatures=("ext4",))
    assert device_id(read, NODE) == device_id(replace(BARE, udev=udev), NODE)


def test_an_xfs_made_anew_behind_udevs_back_changes_the_id():
    udev = {"E:ID_FS_TYPE": "xfs", "E:ID_FS_UUID": XFS.fsuuid}
    new = replace(XFS, fsuuid="00000000-0000-4000-8000-000000000000")
    assert device_id(replace(BARE, udev=udev, superblock=new), NODE) != device_id(
        replace(BARE, udev=udev, superblock=XFS), NODE
    )


def test_names_that_are_not_utf8_have_an_id_too():
    assert device_id(replace(BARE, udev={"E:ID_MODEL": b"Caf\xe9".decode(errors="surrogateescape")}), NODE)


@pytest.mark.parametrize(
    ("identity", "number"),
    [
        ("252:16$abc=", "252:16"),
        ("252:16", None),
        ("252:16$", None),
        ("$abc", None),
        (":16$abc", None),
        ("252:$abc", None),
        ("a:b$abc", None),
        ("-1:2$abc", None),
        ("1:2/../3$abc", None),
        ("٣:١$abc", None),
        ("", None),
    ],
)
def test_only_a_device_id_names_a_device_number(identity, number):
    assert number_of(identity) == number
