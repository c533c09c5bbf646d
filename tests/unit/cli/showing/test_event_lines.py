"""An event is one line, in words of the field: no word of Python, no log."""

import pytest

from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.showing.event_lines import event_line
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.kinds import KINDS

NOW = 1_796_000_000.0
ID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


def event(kind: str = "drive.repair-failed", subject: str = ID, source: str = "n1", **data: object) -> CloudEvent:
    return CloudEvent(
        id="1",
        source=f"/directpv/{source}",
        type=f"io.min.directpv.{kind}",
        subject=subject,
        time="2026-11-30T00:00:00.000Z",
        data=dict(data),
    )


def test_a_line_has_age_node_type_object_device_cause_and_advice() -> None:
    told = event("drive.lost", device="sda", cause="no device carries it;", advice="plug it in again", volumes=3)

    assert event_line(told, 1_795_996_800.0 + 125).split() == [
        *("2m5s", "n1", "drive.lost", ID),
        *["sda:", "no", "device", "carries", "it;", "plug", "it", "in", "again", "volumes=3"],
    ]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"exit_status": None, "dry_run": False, "force": True}, "force"),
        ({"signatures": []}, ""),
        ({"signatures": ["xfs", "gpt"]}, "signatures=xfs,gpt"),
        ({"labels": {"rack": "r1", "zone": "z"}}, "labels=rack=r1,zone=z"),
        ({"capacity": 1 << 30, "volumes": 0}, "capacity=1GiB volumes=0"),
        ({"unschedulable": True, "labels": {}}, "unschedulable"),
        ({"unschedulable": False, "labels": {}}, "schedulable no labels"),
        ({"unschedulable": False, "labels": {"a": "b"}}, "labels=a=b"),
        ({"labels": {}}, "no labels"),
        ({"nested": [None, True, {"a": False}]}, "nested=-,yes,a=no"),
    ],
)
def test_facts_are_said_without_a_word_of_python(facts: dict[str, object], shown: str) -> None:
    line = event_line(event(**facts), NOW)

    assert line.partition(ID)[2].strip() == shown
    assert not any(word in line for word in ("None", "True", "False", "[", "{", "'"))


@pytest.mark.parametrize("kind", ["drive.lost", max(KINDS, key=len)])
def test_columns_stand_in_line_whatever_kind_an_event_is_of(kind: str) -> None:
    assert event_line(event(kind), NOW).index(ID) == event_line(event("node.online"), NOW).index(ID)


def test_the_log_of_a_repair_and_the_line_ends_of_a_cause_are_not_in_the_line() -> None:
    line = event_line(event(cause="xfs_repair failed:\nsee the log\x1b[2J", output="Phase 1\nPhase 2\n"), NOW)

    assert "Phase" not in line
    assert "\n" not in line
    assert "xfs_repair failed: see the log\\x1b[2J" in line


def test_what_the_controller_tells_of_a_node_stands_with_the_node() -> None:
    assert event_line(event("node.offline", "n7", "controller", node="n7"), NOW).split()[1:3] == ["n7", "node.offline"]


def test_filters_must_all_hold_and_a_drive_means_its_volumes_too() -> None:
    lost = event("drive.lost", node="n1")
    staged = event("volume.staged", "pvc-1", drive=ID)
    refused = event("volume.refused", "pvc-2", "controller", cause="no drive")
    every = [lost, staged, refused]

    def kept(*flags: object) -> list[str]:
        return [each.type.rpartition(".")[2] for each in every if EventFilter.of(*flags).match(each)]  # type: ignore[arg-type]

    assert kept(None, (), None, None) == ["lost", "staged", "refused"]
    assert kept(["n1"], (), None, None) == ["lost", "staged"]
    assert kept(None, (ID,), None, None) == ["lost", "staged"]
    assert kept(None, (), ["pvc-2"], None) == ["refused"]
    assert kept(None, (), None, ["volume"]) == ["staged", "refused"]
    assert kept(None, (), None, ["*.lost,volume.refused"]) == ["lost", "refused"]
    assert kept(["n1"], (), None, ["volume"]) == ["staged"]
