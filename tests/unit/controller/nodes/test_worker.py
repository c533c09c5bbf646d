"""What a node says is taken in drive by drive."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import directpv_common.messages as m
from directpv_common.errors import Unavailable
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.model import Snapshot, Writes
from directpv_controller.leading.term import Term
from directpv_controller.nodes.worker import NodeWorker
from unit.controller.builders import drive_record, held, volume_record


class Lease:
    """One that does not end."""

    epoch = 7
    valid = True


class Registry:
    """Refuses to write one drive, as a policy of the cluster may."""

    id = "registry"

    def __init__(self, refused: str) -> None:
        self.refused = refused

    async def commit(self, writes: Writes, lease: Lease) -> None:
        touched = {record.fsuuid for record in (*writes.drives, *writes.volumes)}
        if self.refused in touched:
            raise Unavailable("denied by a policy")

    def show(self, volumes: Any) -> None:
        """Nobody looks."""


class Events:
    """Heard by the test."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def emit(self, noun: str, kind: str, subject: str, **data: object) -> None:
        self.seen.append((noun, kind, subject))


async def test_a_drive_that_the_registry_refuses_keeps_nothing_from_its_neighbour_and_is_asked_for_again() -> None:
    refused, healthy = drive_record(), drive_record()
    lost = volume_record("v1", healthy)
    ledger = Ledger.load(Snapshot([refused, healthy], [lost]), random.random)
    events, nobody = Events(), None
    term = Term(ledger, Registry(refused.fsuuid), Lease(), nobody, events)  # type: ignore[arg-type]
    spawned: list[Coroutine[None, None, None]] = []
    worker = NodeWorker("n1", term, spawned.append, asyncio.Semaphore(1))
    info = m.NodeInfo(name="n1", topology={})
    worker.state = m.NodeState(info=info, boot="b", sequence=1, drives={refused.fsuuid: 1, healthy.fsuuid: 1})
    worker.seen = asyncio.get_running_loop().time()
    found = volume_record("found", refused)
    inventory = m.Inventory(info=info, boot="b", drives=(held(refused, found), held(healthy)))

    await worker._take_in(inventory)
    for work in spawned:
        work.close()

    assert list(worker._prepare) == ["v1"], "the healthy drive gets its order"
    assert list(worker._retries) == [refused.fsuuid], "the refused one is unknown again"
    assert "found" not in ledger.volumes
    assert ledger.check() == []
