"""Whose edit it is: a name may be used again while somebody's change of the earlier volume waits."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from directpv_controller.core.placing.model import Change
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.registry.kubernetes.editing.volume_edits import VolumeEdits
from directpv_controller.registry.kubernetes.keeping.shelf import Shelf
from unit.controller.builders import committed, drive_record, ledger_of, request


class PlayedTerm:
    """A term whose registry takes every commit at once; ``go`` ends what a volume waits for."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.go, self.told = ledger, asyncio.Event(), list[str]()
        self.events = SimpleNamespace(emit=lambda noun, kind, *_, **__: self.told.append(f"{noun}.{kind}"))

    async def idle(self, name: str) -> None:
        await self.go.wait()

    async def commit(self, change: Change) -> None:
        change.done()


@pytest.mark.parametrize("again", [False, True])
async def test_a_release_destroys_no_later_volume_of_the_same_name(again: bool) -> None:
    ledger = ledger_of(drive_record())
    term, orders = PlayedTerm(ledger), list[Any]()
    nodes = SimpleNamespace(worker=lambda node: SimpleNamespace(order=lambda **order: orders.append(order)))
    registry = SimpleNamespace(shelf=Shelf())
    edits = VolumeEdits(registry, term, nodes)  # type: ignore[arg-type]
    committed(ledger.place(wanted_from(request("v1")), now="", incarnation="aa")[1])
    base = ledger.volumes["v1"].record

    edits.volume_edited(base, msgspec.structs.replace(base, deleting=True))
    if again:  # its deletion ends, and the name is used again, before the edit has its turn
        committed(ledger.remove(ledger.volumes["v1"]))
        committed(ledger.place(wanted_from(request("v1")), now="", incarnation="bb")[1])
    term.go.set()
    await asyncio.gather(*edits._tasks)

    assert ledger.volumes["v1"].record.deleting is not again
    assert bool(orders) is not again
