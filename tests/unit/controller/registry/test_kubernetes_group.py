"""Commits that wait go together; each learns what became of its own objects."""

import asyncio
import gc
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.crd import NOTHING
from directpv_common.protocol.errors import Fenced, Unavailable
from directpv_controller.leading.port import OutcomeUnknown
from directpv_controller.registry.kubernetes.keeping.group import Entry, Group, outcome_of
from directpv_controller.registry.kubernetes.keeping.shelf import HeldVolume
from unit.controller.builders import drive_record, volume_record

DRIVE = drive_record()


def entry(*puts: m.VolumeRecord, removed: tuple[m.VolumeRecord, ...] = (), drive: m.DriveRecord | None = None) -> Entry:
    made = Entry(None, asyncio.Future())  # type: ignore[arg-type]
    made.drive = drive
    made.puts = {record.name: record for record in puts}
    made.removed = {record.name: record for record in removed}
    return made


async def test_the_last_word_about_a_volume_counts() -> None:
    small, large = volume_record("v1", DRIVE, 10), volume_record("v1", DRIVE, 20)
    group = Group([entry(small), entry(large), entry(volume_record("v2", DRIVE, 5))])
    assert group.puts["v1"].capacity == 20
    assert {each.volume: each.capacity for each in group.reserved({})} == {"v1": 20, "v2": 5}

    group = Group([entry(small), entry(removed=(small,))])
    assert (group.puts, list(group.removed)) == ({}, ["v1"])
    group = Group([entry(removed=(small,)), entry(large)])
    assert (list(group.puts), group.removed) == (["v1"], {})


async def test_what_is_held_stays_reserved_until_it_is_removed() -> None:
    held = {"v0": HeldVolume(volume_record("v0", DRIVE, 7), NOTHING, "1")}
    assert [each.volume for each in Group([entry()]).reserved(held)] == ["v0"]
    gone = Group([entry(removed=(held["v0"].record,))])
    assert gone.reserved(held) == []


@pytest.mark.parametrize(
    ("puts", "removed"),
    [
        pytest.param((), (), id="nothing"),
        pytest.param((volume_record("v1", DRIVE, 7, pod_name="p"),), (), id="a pod"),
        pytest.param((volume_record("v1", DRIVE, 8),), (), id="a size"),
        pytest.param((volume_record("v1", DRIVE, 7, claim_id="c"),), (), id="a claim"),
        pytest.param((volume_record("new", DRIVE, 7),), (), id="a new one"),
        pytest.param((), (volume_record("v1", DRIVE, 7),), id="one that goes"),
        pytest.param((), (volume_record("other", DRIVE, 7),), id="one that is not there"),
    ],
)
async def test_whether_the_drive_must_be_written_is_known_without_looking_at_its_other_volumes(
    puts: tuple[m.VolumeRecord, ...], removed: tuple[m.VolumeRecord, ...]
) -> None:
    class Looked(dict[str, HeldVolume]):
        """Can be asked for single volumes only."""

        def items(self) -> Any:
            raise AssertionError("all volumes of the drive are looked at")

        __iter__ = values = keys = items

    held = {f"v{number}": HeldVolume(volume_record(f"v{number}", DRIVE, 7), NOTHING, "1") for number in range(3)}
    group = Group([entry(*puts, removed=removed)])

    now = [volume.reservation for volume in held.values()]
    assert group.reserves_otherwise(Looked(held)) == (group.reserved(held) != now)


@pytest.mark.parametrize(
    ("waiting", "failures", "expected"),
    [
        (entry, {}, None),
        (entry, {"v2": Unavailable("no")}, None),
        (entry, {"v1": Unavailable("no")}, Unavailable),
        (entry, {"v1": Fenced("no")}, Fenced),
        (entry, {"v1": OutcomeUnknown("no")}, OutcomeUnknown),
    ],
)
async def test_a_commit_fails_only_with_its_own_objects(waiting: object, failures: dict, expected: type | None) -> None:  # type: ignore[type-arg]
    made = waiting(volume_record("v1", DRIVE))  # type: ignore[operator]
    outcome = outcome_of(made, failures)
    assert type(outcome) is (expected or type(None))


async def test_a_commit_that_holds_in_part_is_not_said_to_be_undone() -> None:
    two = entry(volume_record("v1", DRIVE), volume_record("v2", DRIVE))
    assert isinstance(outcome_of(two, {"v1": Unavailable("no")}), OutcomeUnknown)
    with_drive = entry(volume_record("v1", DRIVE), drive=DRIVE)
    assert isinstance(outcome_of(with_drive, {"v1": Unavailable("no")}), OutcomeUnknown)


async def test_a_failure_that_nobody_waits_for_is_not_logged_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    entry().settle(Fenced("the lease is over"))
    gc.collect()
    assert "never retrieved" not in caplog.text

    waiting = entry()
    waiting.settle(Fenced("the lease is over"))
    with pytest.raises(Fenced):
        await waiting.future
