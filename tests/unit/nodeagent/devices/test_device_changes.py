"""What a scan tells of devices that came, went or changed."""

from dataclasses import replace

from directpv_nodeagent.devices.core.changes import changes, present
from directpv_nodeagent.devices.core.facts import DeviceFacts

DISK = DeviceFacts(name="sdb", major_minor="8:16", size=1 << 40)


def told(before: list[DeviceFacts], after: list[DeviceFacts]) -> list[tuple[str, str]]:
    return [(kind.value, facts.name) for kind, facts in changes(present(before), present(after))]


def test_a_new_device_is_told() -> None:
    assert told([], [DISK]) == [("added", "sdb")]


def test_a_device_that_went_is_told() -> None:
    assert told([DISK], []) == [("removed", "sdb")]


def test_a_device_that_grew_or_got_a_file_system_is_told() -> None:
    assert told([DISK], [replace(DISK, size=1 << 41)]) == [("changed", "sdb")]
    assert told([DISK], [replace(DISK, signatures=("xfs",))]) == [("changed", "sdb")]


def test_another_disk_under_the_same_name_is_a_removal_and_an_addition() -> None:
    assert told([DISK], [replace(DISK, major_minor="8:32")]) == [("removed", "sdb"), ("added", "sdb")]


def test_a_device_without_size_is_not_there() -> None:
    assert told([], [replace(DISK, size=0)]) == []
    assert told([DISK], [replace(DISK, size=0)]) == [("removed", "sdb")]


def test_mounting_and_using_a_device_is_no_news() -> None:
    assert told([DISK], [replace(DISK, mount_points=("/mnt",), udev={"I": "5"})]) == []
