"""Objects in upstream's shape, whatever state a drive is in."""

import pytest

import directpv_common.messages as m
from directpv_common.crd import drive_object

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


@pytest.mark.parametrize("kind", m.ConditionType)
def test_every_condition_can_be_shown(kind: m.ConditionType) -> None:
    condition = m.Condition(type=kind, message="in words", since="2026-11-23T00:00:00Z")
    record = m.DriveRecord(fsuuid=FSUUID, node="n1", total=10, overhead=1, conditions=(condition,))

    (shown,) = drive_object(m.DriveInfo(record=record, free=9, allocated=1, volumes=0))["status"]["conditions"]

    assert shown["type"] == kind
    assert shown["reason"].isalnum()
    assert shown["message"] == "in words"
