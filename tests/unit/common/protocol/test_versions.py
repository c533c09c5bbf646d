"""Words of a version that is one newer are kept as they are, wherever they are read and written."""

from enum import Enum
from typing import Any

import msgspec
import orjson
import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.open_enum import OpenStrEnum
from directpv_common.protocol.wire import decode, encode

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
ENUMS = sorted(
    {each for each in vars(m).values() if isinstance(each, type) and issubclass(each, Enum) and each is not OpenStrEnum}
    | {names.AccessTier},
    key=lambda kind: kind.__name__,
)
WORN = m.Condition(type=m.ConditionType("Worn"), message="it has worn out", since="2026-11-22T10:00:00Z")
LATER = m.DriveRecord(
    fsuuid=FSUUID,
    node="n1",
    total=10,
    overhead=1,
    status=m.DriveStatus("Retired"),
    conditions=(WORN,),
    access_tier=names.AccessTier("Frozen"),
)


def test_there_are_enumerations_to_look_at() -> None:
    assert m.DriveStatus in ENUMS
    assert len(ENUMS) >= 5


@pytest.mark.parametrize("kind", ENUMS)
def test_a_word_that_this_version_does_not_know_is_read_and_written_as_it_is(kind: Any) -> None:
    word = msgspec.json.decode(b'"Later1"', type=kind)

    assert (word, str(word), word.value, f"{word}") == ("Later1",) * 4
    assert (word == kind("Later1"), word in set(kind)) == (True, False)
    assert encode([word]) == b'["Later1"]'


@pytest.mark.parametrize("kind", ENUMS)
@pytest.mark.parametrize("nonsense", ["", "two words", "a/b", "../x", "x" * 64, "1st", "ä"])
def test_what_no_version_would_write_is_refused(kind: Any, nonsense: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(encode(nonsense), kind)


def test_an_inventory_with_words_of_a_later_agent_is_read() -> None:
    info = m.NodeInfo(name="n1", topology={})
    sent = m.Inventory(info=info, boot="b", drives=(m.HeldDrive(record=LATER, generation=1),))

    assert decode(encode(sent), m.Inventory) == sent


def test_a_heartbeat_with_words_of_a_later_agent_is_read() -> None:
    unwell = {FSUUID: m.DriveHealth(status=LATER.status, conditions=(WORN,))}
    sent = m.NodeState(info=m.NodeInfo(name="n1", topology={}), boot="b", sequence=1, unwell=unwell)

    assert decode(encode(sent), m.NodeState) == sent


def through_kubernetes(record: m.DriveRecord, rest: crd.Rest = crd.NOTHING) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(orjson.dumps(crd.drive_to_object(record, rest=rest)))
    return loaded


def test_a_drive_with_words_of_a_later_version_comes_back_from_kubernetes_as_it_went() -> None:
    record, rest = crd.drive_from_object(through_kubernetes(LATER))

    assert record == LATER
    assert rest.conditions == ()


def test_a_condition_of_a_later_controller_is_written_back_unchanged() -> None:
    obj = through_kubernetes(LATER)
    obj["status"]["conditions"][0]["reason"] = "DriveHasWornOut"

    again = through_kubernetes(*crd.drive_from_object(obj))

    assert again["status"] == obj["status"]


def test_a_condition_of_a_later_version_goes_when_the_node_reports_it_no_more() -> None:
    obj = through_kubernetes(LATER)
    obj["status"]["conditions"].append({**obj["status"]["conditions"][0], "type": "Strange"})
    record, rest = crd.drive_from_object(obj)

    again = through_kubernetes(msgspec.structs.replace(record, conditions=()), rest)

    assert [each["type"] for each in again["status"]["conditions"]] == ["Strange"], "somebody else's stays"


def test_no_condition_is_written_twice_when_a_node_reports_what_somebody_wrote() -> None:
    foreign = {"type": "Worn", "status": "True", "reason": "X", "message": "", "lastTransitionTime": ""}
    obj = through_kubernetes(msgspec.structs.replace(LATER, conditions=()))
    obj["status"]["conditions"].append(foreign)
    _, rest = crd.drive_from_object(obj)

    again = through_kubernetes(LATER, rest)

    assert [(each["type"], each["message"]) for each in again["status"]["conditions"]] == [("Worn", WORN.message)]


def test_a_drive_with_words_of_a_later_version_can_be_shown() -> None:
    shown = crd.drive_object(m.DriveInfo(record=LATER, free=9, allocated=1, volumes=0))["status"]

    assert (shown["status"], shown["conditions"][0]["type"]) == ("Retired", "Worn")
