"""What was deleted and is there still: named, and not brought back."""

import directpv_common.protocol.messages as m
from directpv_cli.recovering.core.deleted import Deleted
from directpv_cli.recovering.core.drives import Found
from directpv_cli.recovering.core.rows import CHANGES, Action

ONE, TWO = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f11"


def volume(name: str, fsuuid: str = ONE, incarnation: str = "ab", *, deleting: bool = True) -> m.VolumeInfo:
    record = m.VolumeRecord(name=name, fsuuid=fsuuid, capacity=1, incarnation=incarnation, deleting=deleting)
    return m.VolumeInfo(record=record, node="n1")


def test_volumes_that_were_deleted_are_named_for_the_drives_that_come_back_alone() -> None:
    deleted = Deleted([volume("v2"), volume("v1"), volume("v3", deleting=False), volume("v4", TWO)])

    rows = deleted.rows([Found("n1", m.SeenDrive(fsuuid=ONE, device="sda"))])

    assert [(row.name, row.action) for row in rows] == [("v1", Action.LEFT), ("v2", Action.LEFT)]
    assert ONE in rows[0].detail
    assert Action.LEFT not in CHANGES
    assert deleted.on(ONE) == ["v1", "v2"]


def test_a_volume_is_left_out_if_it_is_the_one_that_was_deleted() -> None:
    deleted = Deleted([volume("v1")])

    assert deleted.has(ONE, volume("v1").record)
    assert deleted.has(ONE, volume("v1", incarnation="").record), "of an earlier version"
    assert not deleted.has(ONE, volume("v1", incarnation="cd").record), "a later one of its name"
    assert not deleted.has(TWO, volume("v1", TWO).record)
    assert not deleted.has(ONE, volume("v2").record)
