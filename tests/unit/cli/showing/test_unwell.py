"""What is not well is said below a table: in one line per cause, and never in hundreds."""

import uuid

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.showing.unwell import NAMED, causes, hidden, taken


def drive(number: int, node: str, status: m.DriveStatus, *causes: str, device: str = "") -> m.DriveInfo:
    record = m.DriveRecord(
        fsuuid=str(uuid.UUID(int=number)),
        node=node,
        total=1 << 30,
        overhead=0,
        device=device,
        status=status,
        conditions=tuple(m.Condition(type=m.ConditionType.LOST, message=cause, since="") for cause in causes),
    )
    return m.DriveInfo(record=record, free=1 << 30, allocated=0, volumes=0)


def test_drives_that_are_not_shown_are_counted_by_state_and_node() -> None:
    ready = drive(1, "n1", m.DriveStatus.READY)
    unwell = [
        drive(2, "n2", m.DriveStatus.LOST),
        drive(3, "n2", m.DriveStatus.LOST),
        drive(4, "n1", m.DriveStatus.ERROR),
    ]

    assert hidden(unwell, [ready]) == ["3 drives not shown: 1 Error on n1, 2 Lost on n2; --all shows every drive"]
    assert hidden(unwell[:1], [ready]) == ["1 drive not shown: 1 Lost on n2; --all shows every drive"]
    assert hidden(unwell, [ready, *unwell]) == []


def test_each_cause_is_a_line_with_the_device_or_else_the_id() -> None:
    lost, ill = drive(1, "n1", m.DriveStatus.LOST, "gone"), drive(2, "n2", m.DriveStatus.ERROR, "bad", device="sdb")

    assert causes([lost, ill]) == [f"n1/{lost.record.fsuuid}: DriveLost: gone", "n2/sdb: DriveLost: bad"]
    assert causes([drive(3, "n1", m.DriveStatus.READY)]) == []


def test_many_are_counted_instead_of_named() -> None:
    many = [drive(number, f"n{number}", m.DriveStatus.LOST, "gone") for number in range(300)]

    assert len(causes(many)) == NAMED + 1
    assert "and 290 more" in causes(many)[-1]
    assert "290 more groups" in hidden(many, [])[0]


def test_space_that_copies_take_which_the_registry_does_not_know_is_said_of_each_drive() -> None:
    full = msgspec.structs.replace(drive(1, "n1", m.DriveStatus.READY, device="sda"), strays=3 << 30)

    assert taken([drive(2, "n1", m.DriveStatus.READY)]) == []
    assert taken([full]) == [
        "n1/sda: 3 GiB are taken by what the registry does not have there; what, and what to do: "
        f"kubectl directpv explain drive {full.record.fsuuid}"
    ]
    assert taken([full] * (NAMED + 2))[-1] == "and 2 more drives like that"
