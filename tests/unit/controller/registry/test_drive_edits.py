"""What is seen of a drive's object late: it went while that was under way."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_controller.core.placing.model import Change
from directpv_controller.core.reserving import retiring
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.registry.kubernetes.editing.drive_edits import DriveEdits
from directpv_controller.registry.kubernetes.keeping.shelf import Shelf
from unit.controller.builders import NOW, committed, drive_record, ledger_of


def edits_of(ledger: Ledger) -> DriveEdits:
    """Edits of a term whose registry takes every commit at once, with a lane that is idle."""

    async def commit(change: Change) -> None:
        change.done()

    events = SimpleNamespace(emit=lambda *_, **__: None)
    term = SimpleNamespace(ledger=ledger, commit=commit, events=events, fence=SimpleNamespace(epoch=7))
    lane = SimpleNamespace(when_idle=lambda key, action: action())
    registry = SimpleNamespace(shelf=Shelf(), lane=lambda fsuuid: lane, write_again=lambda fsuuid: None)
    return DriveEdits(registry, term, None)  # type: ignore[arg-type]


def shown(record: m.DriveRecord, **meta: Any) -> dict[str, Any]:
    obj = crd.drive_to_object(record, epoch=7)
    obj["metadata"] |= {"resourceVersion": "5", "creationTimestamp": NOW, **meta}
    return obj


@pytest.mark.parametrize("noted", [True, False])
async def test_what_was_seen_of_a_drive_before_it_went_brings_it_not_back(noted: bool) -> None:
    record = drive_record()
    ledger = ledger_of(record)
    edits = edits_of(ledger)
    committed(retiring.give_up(ledger, ledger.drives[record.fsuuid], m.Wipe.NONE, NOW))
    late = shown(ledger.drives[record.fsuuid].record)
    committed(retiring.close(ledger, ledger.drives[record.fsuuid], noted=noted, now=NOW))

    edits.seen("changed", late)
    await asyncio.gather(*edits._tasks)

    assert ledger.drives == {}


async def test_a_drive_that_is_being_deleted_is_not_taken_in_and_one_that_somebody_restored_is() -> None:
    record = drive_record()
    ledger = ledger_of()
    edits = edits_of(ledger)

    edits.seen("changed", shown(record, deletionTimestamp=NOW))
    assert ledger.drives == {}
    edits.seen("changed", shown(record))
    await asyncio.gather(*edits._tasks)
    assert ledger.drives.keys() == {record.fsuuid}
