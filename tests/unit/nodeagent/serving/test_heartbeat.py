"""What a heartbeat says of each drive."""

from types import SimpleNamespace
from typing import Any

import directpv_common.protocol.messages as m
from directpv_nodeagent.serving.heartbeat import Heartbeat

FULL = m.Condition(type=m.ConditionType.FULL, message="its file system has nothing left", since="")


def drive(number: int, **facts: Any) -> Any:
    fsuuid = f"00000000-0000-4000-8000-{number:012}"
    record = m.DriveRecord(fsuuid=fsuuid, node="n1", total=2, overhead=1, **facts)
    return SimpleNamespace(fsuuid=fsuuid, record=record, generation=number, readable=False)


def test_a_drive_is_told_with_its_conditions_if_it_is_not_ready_or_has_a_warning() -> None:
    well, warned, lost = drive(1), drive(2, conditions=(FULL,)), drive(3, status=m.DriveStatus.LOST)
    host = SimpleNamespace(node="n1", topology={}, quota_required=True)
    drives: Any = SimpleNamespace(host=host, by_id={each.fsuuid: each for each in (well, warned, lost)})
    state = Heartbeat(drives)._state()

    assert state.drives == {well.fsuuid: 1, warned.fsuuid: 2, lost.fsuuid: 3}
    assert state.unwell == {
        warned.fsuuid: m.DriveHealth(status=m.DriveStatus.READY, conditions=(FULL,)),
        lost.fsuuid: m.DriveHealth(status=m.DriveStatus.LOST),
    }
