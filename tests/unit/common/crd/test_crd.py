"""Objects in upstream's shape, whatever state a drive is in."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.crd import drive_object, nodes

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


@pytest.mark.parametrize("kind", m.ConditionType)
def test_every_condition_can_be_shown(kind: m.ConditionType) -> None:
    condition = m.Condition(type=kind, message="in words", since="2026-11-23T00:00:00Z")
    record = m.DriveRecord(fsuuid=FSUUID, node="n1", total=10, overhead=1, conditions=(condition,))

    (shown,) = drive_object(m.DriveInfo(record=record, free=9, allocated=1, volumes=0))["status"]["conditions"]

    assert shown["type"] == kind
    assert shown["reason"].isalnum()
    assert shown["message"] == "in words"


@pytest.mark.parametrize(
    ("found", "shown"),
    [("xfs", "xfs"), ("xfs (looks like a DirectPV drive)", "xfs"), ("LVM2_member, ext4", "LVM2_member"), ("", None)],
)
def test_upstreams_tools_read_udevs_word_for_what_is_on_a_device(found: str, shown: str | None) -> None:
    device = m.Device(name="sdb", id="2$x", major_minor="8:16", size=10, fs_type=found)
    node = {"metadata": {"name": "n1"}, "spec": {"refresh": True}}

    (entry,) = nodes.refreshed(node, [device])["status"]["devices"]

    assert entry.get("fsType") == shown
