"""What a node says is taken in drive by drive."""

import asyncio
import random
from collections.abc import Coroutine

import directpv_common.messages as m
from directpv_controller.core.ledger import Ledger
from directpv_controller.core.model import Snapshot
from directpv_controller.nodes.worker import NodeWorker
from unit.controller.builders import drive_record, held, volume_record
from unit.controller.terms import Events, term_of


async def test_a_drive_that_the_registry_refuses_keeps_nothing_from_its_neighbour_and_is_asked_for_again() -> None:
    refused, healthy = drive_record(), drive_record()
    lost = volume_record("v1", healthy)
    ledger = Ledger.load(Snapshot([refused, healthy], [lost]), random.random)
    term = term_of(ledger, Events(), refused.fsuuid)
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
