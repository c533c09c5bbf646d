"""An installation is healthy only if everything is: what is not is named, with what to do."""

import uuid

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_cli.showing.health import UNKNOWN, Heard, lines_of, notes, troubles
from directpv_common.protocol import names

ID = str(uuid.UUID(int=7))


def node(name: str = "n1", *, online: bool = True, given_up: str = "", **facts: object) -> m.NodeSummary:
    info = m.NodeInfo(name=name, topology={}, version="1.0.0", **facts)  # type: ignore[arg-type]
    return m.NodeSummary(
        info=info, online=online, drives=1, total=4 << 30, allocated=1 << 30, volumes=2, given_up=given_up
    )


def drive(status: m.DriveStatus = m.DriveStatus.READY, **facts: object) -> m.DriveInfo:
    asked = {"fsuuid": ID, "node": "n1", "device": "sda", "total": 4 << 30, "overhead": 0, **facts}
    return m.DriveInfo(record=m.DriveRecord(status=status, **asked), free=1, allocated=1, volumes=2)  # type: ignore[arg-type]


def heard(**facts: object) -> Heard:
    well = {
        "leader": "c1, epoch 3",
        "controller": "1.0.0",
        "bus": "127.0.0.1:4222, nats-server 2.15",
        "stream": "12 kept",
        "nodes": [node()],
        "drives": [drive()],
        "deleting": [],
    }
    return Heard(**{**well, **facts})  # type: ignore[arg-type]


def test_an_installation_where_all_is_well_has_no_trouble_and_one_line_per_part() -> None:
    assert troubles(heard()) == notes(heard()) == []
    assert dict(lines_of(heard()))["Drives"] == "1 Ready"
    assert dict(lines_of(heard()))["Nodes"] == "1 of 1 online"


PULLED = m.Condition(type=m.ConditionType.LOST, message="it was pulled", since="")
AWAY = drive(m.DriveStatus.LOST, device="", last_device="sdb", conditions=(PULLED,))
SUSPENDED = drive(labels={names.SUSPEND: "true"})


def move(state: m.MoveState, message: str = "") -> m.MoveStatus:
    return m.MoveStatus(name="v1", state=state, message=message)


SLOW = m.Condition(type=m.ConditionType.SLOW, message="requests take 4 s", since="")
LEFT = m.VolumeInfo(record=m.VolumeRecord(name="pvc-1", fsuuid=ID, capacity=1, deleting=True), node="n2")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"leader": ""}, "no controller leads"),
        ({"stream": ""}, "no event stream"),
        ({"nodes": []}, "no node agent was heard"),
        ({"nodes": [node(), node("n2", online=False)]}, "node n2 is offline"),
        ({"nodes": [node("n2", online=False)], "deleting": [LEFT]}, "; 1 volume Deleting until then"),
        ({"unheard": "volume.list: no reply within 10 s"}, "not everything could be listed"),
        ({"nodes": [], "unheard": "node.list: no reply"}, "node.list: no reply; repeat"),
        ({"drives": [drive(m.DriveStatus.LOST)]}, f"n1/sda is Lost; why: kubectl directpv explain drive {ID}"),
        ({"drives": [AWAY]}, f"n1/{ID} (was sdb): DriveLost: it was pulled; put the disk back, or look at its cable"),
        ({"drives": [AWAY]}, f"kubectl directpv remove --lost {ID}"),
        ({"moves": [move(m.MoveState.FAILED, "drive x is full")]}, "the move of volume v1 has failed"),
        ({"moves": [move(m.MoveState.FAILED, "drive x is full")]}, "drive x is full; mend that,"),
        ({"drives": [drive(conditions=(SLOW,))]}, "n1/sda: DriveIsSlow: requests take 4 s"),
    ],
)
def test_whatever_is_not_well_is_a_trouble_that_is_named(facts: dict[str, object], said: str) -> None:
    assert said in " ".join(troubles(heard(**facts)))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"nodes": [node(quota_enforced=False)]}, "n1: sizes of volumes are not enforced"),
        (
            {"drives": [drive(unschedulable=True)]},
            "cordoned: n1/sda; to place volumes there again: kubectl directpv uncordon n1/sda",
        ),
        ({"controller": "1.1.0"}, "different versions"),
        ({"nodes": [node(), node("n2", given_up="2026-11-20T00:00:00Z")]}, "node n2 was removed at 2026-11-20T00:00"),
        ({"drives": [SUSPENDED]}, "in their place until: kubectl directpv resume drives n1/sda"),
        ({"suspended": ["pvc-1", "pvc-2"]}, "kubectl directpv resume volumes VOLUME …"),
        ({"moves": [move(m.MoveState.WAITING)]}, "volume v1 waits for its pod to be restarted"),
        ({"moves": [move(m.MoveState.COPYING)]}, "being moved: v1"),
    ],
)
def test_what_people_decided_is_noted_and_makes_nothing_unhealthy(facts: dict[str, object], said: str) -> None:
    assert said in " ".join(notes(heard(**facts)))
    assert troubles(heard(**facts)) == []


def test_who_could_not_be_asked_is_not_said_to_be_missing() -> None:
    assert len(troubles(heard(nodes=[], drives=[], unheard="node.list: no reply"))) == 1
    assert len(troubles(heard(nodes=[], drives=[], leader="", unheard="nobody answers"))) == 1


def test_what_nobody_said_is_unknown_and_not_nothing() -> None:
    silent = dict(lines_of(heard(nodes=[], drives=[], leader="", controller="", unheard="nobody answers")))
    assert {silent[name] for name in ("Agents", "Nodes", "Drives", "Volumes", "Capacity")} == {UNKNOWN}
    assert dict(lines_of(heard(drives=[], unheard="drive.list: no reply")))["Drives"] == UNKNOWN
    assert dict(lines_of(heard(nodes=[], drives=[])))["Drives"] == "none"


def test_a_volume_that_drives_show_where_the_registry_has_none_is_trouble_with_what_to_do() -> None:
    first = m.DriveInfo(record=drive().record, free=1, allocated=1, volumes=0, contested={"v1": ""}, contesting=1)
    record = msgspec.structs.replace(first.record, fsuuid=str(uuid.UUID(int=8)), device="sdb")
    second = m.DriveInfo(record=record, free=1, allocated=1, volumes=0, contested={"v1": "", "v2": ID}, contesting=20)
    found = troubles(heard(drives=[first, second]))

    assert found == [
        "volume v1 is shown by n1/sda, n1/sdb, and the registry does not know it; what to do: "
        "kubectl directpv explain volume v1",
        f"volume v2 is shown by n1/sdb, and the registry has it on drive {ID}; what to do: "
        "kubectl directpv explain volume v2",
        "18 more such volumes: kubectl directpv events --type volume.conflict",
    ]


def test_a_move_that_cannot_remove_what_the_volume_was_is_noted_with_the_reason() -> None:
    stuck = m.MoveStatus(name="v1", source="a", state=m.MoveState.FLIPPED, message="v1 is still mounted at /left")

    assert notes(heard(moves=[stuck]))[0] == (
        "volume v1 was moved, and what it was is not removed yet from drive a: v1 is still mounted at /left"
    )


def test_a_move_that_cannot_end_for_minutes_is_trouble_with_cause_and_advice() -> None:
    left = m.MoveStatus(name="v1", source="a", target="b", node="n1", state=m.MoveState.FLIPPED, message="v1 is staged")
    short, long = (msgspec.structs.replace(left, held_up=seconds) for seconds in (299, 300))
    back = msgspec.structs.replace(long, state=m.MoveState.CANCELLING, message="drive b is full")

    assert troubles(heard(moves=[short])) == []
    assert troubles(heard(moves=[long])) == [
        "volume v1: what it was on drive a cannot be removed, though it was moved, for 5m now: v1 is staged; end that "
        "on node n1, and it goes on by itself: until then its space is taken on both drives"
    ]
    assert "its move to drive b cannot be taken back, for 5m now: drive b is full" in troubles(heard(moves=[back]))[0]
    assert [said for said in notes(heard(moves=[long])) if "v1 is staged" in said] == [], "it is said once"
