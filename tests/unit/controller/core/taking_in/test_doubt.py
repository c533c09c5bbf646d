"""Nonsense that a node tells is not believed, named, and harms nothing else."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import directpv_common.protocol.messages as m
from directpv_common.protocol.wire import decode, encode
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.showing.listing import list_drives, list_volumes
from directpv_controller.core.taking_in.doubt import DRIVES_AT_MOST, believed, doubt, doubtful_volumes
from directpv_controller.core.taking_in.parts import Pages
from directpv_controller.core.taking_in.reconcile import change_of, take_in
from unit.controller.builders import GIB, drive_record, held, place, volume_record

replace = msgspec.structs.replace
DRIVE = drive_record()


@pytest.mark.parametrize(
    ("field", "nonsense"),
    [
        pytest.param("total", {"total": 2**63 - 1}, id="larger than any disk"),
        pytest.param("overhead", {"overhead": 99 * GIB}, id="more overhead than drive"),
        pytest.param("labels", {"labels": {"directpv.min.io/a": "x" * 600_000}}, id="a long label"),
        pytest.param("labels", {"labels": {"k" * 600_000: "x"}}, id="a long key"),
        pytest.param("labels", {"labels": {f"k{i}": "x" for i in range(10_000)}}, id="many labels"),
        pytest.param("topology", {"topology": {"k": "x" * 600_000}}, id="a long segment"),
        pytest.param("make", {"make": "x" * 600_000}, id="a long make"),
        pytest.param(
            "conditions",
            {"conditions": (m.Condition(type=m.ConditionType.SLOW, message="x" * 600_000, since=""),)},
            id="a long condition",
        ),
        pytest.param(
            "conditions",
            {"conditions": (m.Condition(type=m.ConditionType.SLOW, message="x", since=""),) * 99},
            id="many conditions",
        ),
        pytest.param("record", {"labels": {f"k{i}": "x" * 4_000 for i in range(100)}}, id="large in all"),
    ],
)
def test_a_drive_that_cannot_be_so_is_doubted_and_the_field_named(field: str, nonsense: dict[str, Any]) -> None:
    assert doubt(drive_record()) == ""
    assert doubt(replace(drive_record(), **nonsense)).startswith(field)


@pytest.mark.parametrize(
    ("field", "nonsense"),
    [
        pytest.param("capacity", {"capacity": 2**63 - 1}, id="larger than its drive"),
        pytest.param("labels", {"labels": {"k": "x" * 600_000}}, id="a long label"),
        pytest.param("parameters", {"parameters": {"k": "x" * 600_000}}, id="a long parameter"),
        pytest.param("pod_name", {"pod_name": "x" * 600_000}, id="a long pod"),
        pytest.param("record", {"labels": {f"k{i}": "x" * 4_000 for i in range(100)}}, id="large in all"),
    ],
)
def test_a_volume_that_cannot_be_so_is_doubted_and_its_neighbour_is_not(field: str, nonsense: dict[str, Any]) -> None:
    drive = drive_record()
    bad, good = replace(volume_record("bad", drive), **nonsense), volume_record("good", drive)

    found = doubtful_volumes(held(drive, bad, good))
    assert list(found) == ["bad"]
    assert found["bad"].startswith(field)


def test_a_volume_that_is_mounted_at_more_paths_than_can_be_listed_is_doubted() -> None:
    drive = drive_record()
    path = "/" + "x" * 4_000
    use = m.VolumeUse(staged=path, published=tuple(f"{path}{number}" for number in range(100)))

    assert doubtful_volumes(held(drive, volume_record("v", drive), uses={"v": use}))["v"].startswith("record: ")


def heartbeat(**facts: Any) -> m.NodeState:
    fsuuid = DRIVE.fsuuid
    state = m.NodeState(info=m.NodeInfo(name="n1", topology={"a": "b"}), boot="b", sequence=1, drives={fsuuid: 3})
    return replace(state, unwell={fsuuid: LOST}, **facts)


LONG = m.Condition(type=m.ConditionType.LOST, message="x" * 600_000, since="")
LOST = m.DriveHealth(status=m.DriveStatus.LOST, conditions=(replace(LONG, message="pulled"),))


@pytest.mark.parametrize(
    ("field", "nonsense"),
    [
        pytest.param("topology", {"info": m.NodeInfo(name="n1", topology={"k": "x" * 600_000})}, id="a long segment"),
        pytest.param("version", {"info": m.NodeInfo(name="n1", topology={}, version="x" * 600_000)}, id="a long word"),
        pytest.param(
            "info", {"info": m.NodeInfo(name="n1", topology={f"k{i}": "x" * 4_000 for i in range(100)})}, id="long info"
        ),
    ],
)
def test_a_node_that_tells_nonsense_of_itself_is_there_all_the_same(field: str, nonsense: dict[str, Any]) -> None:
    told = heartbeat(**nonsense)
    state, why = believed(told)

    assert why.startswith(field)
    assert state == replace(told, info=m.NodeInfo(name="n1", topology={}))
    assert believed(heartbeat()) == (heartbeat(), "")


def test_that_a_drive_is_lost_is_believed_though_the_words_cannot_be_so() -> None:
    good, bad = drive_record().fsuuid, drive_record().fsuuid
    told = replace(heartbeat(), unwell={good: LOST, bad: replace(LOST, conditions=(LONG,))})
    state, why = believed(told)

    assert why.startswith(f"unwell[{bad}]: conditions")
    assert state.unwell == {good: LOST, bad: m.DriveHealth(status=m.DriveStatus.LOST)}


def test_a_node_has_no_more_drives_than_can_be_and_none_without_an_id() -> None:
    real = {drive_record().fsuuid: 1 for _ in range(3)}
    state, why = believed(replace(heartbeat(), drives={"x" * 600_000: 1, **real}))
    assert (state.drives, why) == (real, "drives: 4, of which 3 have ids")

    crowd = {drive_record().fsuuid: 1 for _ in range(DRIVES_AT_MOST + 9)}
    state, why = believed(replace(heartbeat(), drives=crowd))
    assert len(state.drives) == DRIVES_AT_MOST
    assert why.startswith("drives: ")


TEXTS = st.text(max_size=8)
PAIRS = st.dictionaries(TEXTS, TEXTS, max_size=3)
SIZES = st.one_of(st.integers(1, 20 * GIB), st.integers(1, 2**63 - 1))
NAMES = st.sampled_from(["v1", "v2", "v3", "known"])


@st.composite
def inventories(draw: st.DrawFn) -> m.HeldDrive:
    """Any drive that can be decoded, of the id that the ledger knows or of another, with any volumes."""
    fsuuid = draw(st.sampled_from([DRIVE.fsuuid, "99999999-9999-4999-8999-999999999999"]))
    record = replace(
        DRIVE, fsuuid=fsuuid, node=draw(st.sampled_from(["n1", "n2"])), total=draw(SIZES), overhead=draw(SIZES),
        status=draw(st.sampled_from(m.DriveStatus)), labels=draw(PAIRS), topology=draw(PAIRS), device=draw(TEXTS),
    )  # fmt: skip
    volumes = [
        m.HeldVolume(
            record=m.VolumeRecord(
                name=draw(NAMES), fsuuid=draw(st.sampled_from([DRIVE.fsuuid, fsuuid])), capacity=draw(SIZES),
                labels=draw(PAIRS), parameters=draw(PAIRS), claim_id=draw(TEXTS), pod_name=draw(TEXTS),
                deleting=draw(st.booleans()), incarnation=draw(st.sampled_from(["", "aa", "bb"])),
            ),
            use=m.VolumeUse(staged=draw(TEXTS)),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]  # fmt: skip
    return m.HeldDrive(
        record=record, generation=draw(st.integers(0, 5)), readable=draw(st.booleans()), volumes=tuple(volumes),
        purging=tuple(draw(st.lists(NAMES, max_size=2))), more=draw(st.sampled_from(["", "v1"])),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(inventories(), min_size=1, max_size=4))
def test_whatever_a_node_tells_the_books_stay_right_and_every_list_can_be_read(told: list[m.HeldDrive]) -> None:
    ledger = Ledger.load(Snapshot([DRIVE], []), random.random)
    place(ledger, "known")
    pages: dict[str, Pages] = {}
    for each in told:
        travelled = decode(encode(each), m.HeldDrive)
        if doubt(travelled.record):
            continue
        names = doubtful_volumes(travelled)
        believed = tuple(found for found in travelled.volumes if found.record.name not in names)
        outcome = take_in(
            ledger, "n1", "boot", replace(travelled, volumes=believed),
            pages=pages.setdefault(each.record.fsuuid, Pages()),
        )  # fmt: skip
        change = change_of(ledger, [outcome])
        if change is not None:
            change.done()
    wrong = [
        said for said in ledger.check() if "promised of" not in said and "carries" not in said and "claim" not in said
    ]
    assert wrong == []
    decode(encode(list_drives(ledger, m.ListDrives())), m.DrivePage)
    decode(encode(list_volumes(ledger, m.ListVolumes())), m.VolumePage)
