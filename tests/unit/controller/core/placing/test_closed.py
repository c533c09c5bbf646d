"""What closes a drive to new volumes is said wherever a drive is closed."""

from itertools import product

import directpv_common.protocol.messages as m
from directpv_common.protocol import names
from directpv_controller.core.placing.closed import CLOSED, closed, first_reason
from directpv_controller.core.placing.explain import REASONS
from directpv_controller.core.placing.model import Drive
from unit.controller.builders import GIB, drive_record

FULL = m.Condition(type=m.ConditionType.FULL, message="no space", since="2026-01-01T00:00:00Z")
SUSPENDED = {names.SUSPEND: "true"}


def drives() -> list[Drive]:
    """Drives in every combination of all that may hold of one."""
    flags = product((False, True), repeat=8)
    return [
        Drive(
            drive_record(
                10 * GIB, status=status, unschedulable=cordoned, labels=labels, conditions=(FULL,) if full else ()
            ),
            ("", 0, 0),
            20 * GIB if over else GIB,
            {},
            {},
            [],
            [],
            pending=pending,
            partial=partial,
            known=known,
            offline=offline,
        )
        for cordoned, full, over, pending, partial, known, offline, suspended in flags
        for labels in ((SUSPENDED if suspended else {}),)
        for status in m.DriveStatus
    ]


def test_a_drive_is_open_exactly_if_nothing_is_said_to_close_it() -> None:
    wrong = [drive for drive in drives() if drive.open == any(closed(drive))]
    assert wrong == []


def test_each_thing_that_closes_closes_alone_in_some_drive() -> None:
    alone = {found[0].reason for drive in drives() if len(found := list(closed(drive))) == 1}
    assert alone == {each.reason for each in CLOSED}


def test_metrics_know_every_reason_from_the_beginning() -> None:
    assert {first_reason(drive)[0] for drive in drives() if not drive.open} <= set(REASONS)
