"""What a node says is taken in drive by drive."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import Busy, Unavailable
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.nodes.worker import NodeWorker
from directpv_controller.serving.api import Api
from directpv_controller.serving.metrics import Figures
from unit.controller.builders import GIB, drive_record, held, request, volume_record
from unit.controller.terms import Deaf, Events, term_of


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


async def told_of(*reports: m.HeldDrive, ledger: Ledger, node: str = "n1") -> list[tuple[str, str, str]]:
    """Events after a node reported a drive again and again."""
    events = Events()
    worker = NodeWorker(node, term_of(ledger, events), lambda work: work.close(), asyncio.Semaphore(1))
    info = m.NodeInfo(name=node, topology={})
    for report in reports:
        drives = dict.fromkeys({report.record.fsuuid, *ledger.drives}, 1)
        state = m.NodeState(info=info, boot="b", sequence=report.generation, drives=drives)
        worker.heard(state, "now")
        await worker._take_in(m.Inventory(info=info, boot="b", drives=(report,)))
    return events.seen


async def test_a_volume_on_two_drives_is_told_once_however_many_inventories_find_it() -> None:
    home, other = drive_record(), drive_record()
    ledger = Ledger.load(Snapshot([home, other], [volume_record("v1", home)]), random.random)
    copy = volume_record("v1", other, 2 * GIB)
    events = await told_of(*(held(other, copy, generation=n) for n in range(1, 5)), ledger=ledger)

    assert events == [("volume", "conflict", "v1")]


async def test_a_volume_that_is_larger_than_its_drive_can_promise_is_told_once() -> None:
    drive = drive_record(free=2 * GIB)
    ledger = Ledger.load(Snapshot([drive], [volume_record("v1", drive)]), random.random)
    large = volume_record("v1", drive, 3 * GIB)
    events = await told_of(*(held(drive, large, generation=n) for n in range(1, 5)), ledger=ledger)

    assert events == [("volume", "oversized", "v1")]


async def test_more_volumes_than_a_drive_has_room_for_are_told_once() -> None:
    drive = drive_record(free=2 * GIB)
    ledger = Ledger.load(Snapshot([drive], []), random.random)
    found = [volume_record("v1", drive, 2 * GIB), volume_record("v2", drive, 2 * GIB)]
    events = await told_of(*(held(drive, *found, generation=n) for n in range(1, 5)), ledger=ledger)

    assert [event for event in events if event[0] == "drive"] == [("drive", "overcommitted", drive.fsuuid)]


async def test_a_drive_of_another_node_is_told_once_however_often_it_changes() -> None:
    drive = drive_record(node="n1")
    ledger = Ledger.load(Snapshot([drive], []), random.random)
    events = await told_of(*(held(drive, generation=n) for n in range(1, 5)), ledger=ledger, node="n2")

    assert events == [("drive", "conflict", drive.fsuuid)]


async def test_there_is_no_way_back_once_the_data_of_a_volume_is_destroyed() -> None:
    """Its last commit fails: it is neither shown again nor given to an equal CreateVolume."""
    drive = drive_record()
    gone = volume_record("v1", drive, deleting=True)
    ledger = Ledger.load(Snapshot([drive], [gone]), random.random)
    term = term_of(ledger, Events(), drive.fsuuid)
    nodes = Nodes(term, online_seconds=0)
    worker = NodeWorker("n1", term, lambda work: work.close(), asyncio.Semaphore(1))

    await worker._finish(gone)
    volume = ledger.volumes["v1"]
    assert list(worker._retries) == [drive.fsuuid], "it is tried again"
    term._registry.refused = ""  # type: ignore[attr-defined]
    await Api(term, nodes, Figures())._unmark(volume)

    assert volume.record.deleting
    with pytest.raises(Busy, match="being deleted"):
        ledger.place(wanted_from(request("v1")), now="")
    assert ledger.check() == []


async def test_what_cannot_be_taken_in_is_told_once_for_each_reason() -> None:
    drive = drive_record()
    absurd = replace(drive, total=2**63 - 1)
    ledger = Ledger.load(Snapshot([drive], []), random.random)
    events = await told_of(*(held(absurd, generation=n) for n in range(1, 5)), ledger=ledger)
    assert events == [("drive", "not-reconciled", drive.fsuuid)]

    crowded = volume_record("v1", drive, labels={"a": "x" * 600_000})
    events = await told_of(*(held(drive, crowded, generation=n) for n in range(5, 9)), ledger=ledger)
    assert events == [("volume", "not-reconciled", "v1")]


async def test_nonsense_in_heartbeats_is_told_once_and_a_drive_is_lost_all_the_same() -> None:
    drive = drive_record()
    ledger, events = Ledger.load(Snapshot([drive], []), random.random), Events()
    spawned: list[Coroutine[None, None, None]] = []
    worker = NodeWorker("n1", term_of(ledger, events), spawned.append, asyncio.Semaphore(1))
    long = m.Condition(type=m.ConditionType.LOST, message="x" * 600_000, since="")
    health = m.DriveHealth(status=m.DriveStatus.LOST, conditions=(long,))
    for number in range(1, 4):
        worker.heard(
            m.NodeState(
                info=m.NodeInfo(name="n1", topology={"a": "x" * 600_000}), boot="b", sequence=number,
                drives={drive.fsuuid: 1}, unwell={drive.fsuuid: health},
            ),
            "now",
        )  # fmt: skip
    await asyncio.gather(*spawned)

    assert events.seen[:1] == [("node", "not-reconciled", "n1")]
    assert ("node", "not-reconciled", "n1") not in events.seen[1:]
    record = ledger.drives[drive.fsuuid].record
    assert (record.status, record.conditions) == (m.DriveStatus.LOST, ())


FULL = m.Condition(type=m.ConditionType.FULL, message="its file system has nothing left", since="")


@pytest.mark.parametrize(
    ("unwell", "conditions"),
    [
        pytest.param({"told": m.DriveHealth(status=m.DriveStatus.READY, conditions=(FULL,))}, (FULL,), id="a warning"),
        pytest.param({"told": m.DriveHealth(status=m.DriveStatus.ERROR, conditions=(FULL,))}, (FULL,), id="an error"),
        pytest.param({}, (), id="nothing"),
        pytest.param(None, (), id="of a version that does not tell"),
    ],
)
async def test_a_heartbeat_is_enough_to_know_what_is_wrong_with_a_drive(
    unwell: dict[str, m.DriveHealth] | None, conditions: tuple[m.Condition, ...]
) -> None:
    """Whether or not the list of its volumes can ever be told."""
    drive = drive_record()
    ledger = Ledger.load(Snapshot([drive], []), random.random)
    assert await after_heartbeat(ledger, drive, unwell) == conditions
    assert ledger.drives[drive.fsuuid].open is (conditions == ())


async def test_a_heartbeat_that_says_nothing_of_a_ready_drive_takes_no_warning_away() -> None:
    """An agent of an earlier version tells warnings in inventories alone."""
    drive = drive_record(conditions=(FULL,))
    ledger = Ledger.load(Snapshot([drive], []), random.random)
    assert await after_heartbeat(ledger, drive, {}) == (FULL,)


async def after_heartbeat(
    ledger: Ledger, drive: m.DriveRecord, unwell: dict[str, m.DriveHealth] | None
) -> tuple[m.Condition, ...]:
    """Return the conditions that the leader knows of the drive when its node's heartbeat came, and no inventory."""
    spawned: list[Coroutine[None, None, None]] = []
    worker = NodeWorker("n1", term_of(ledger, Events()), spawned.append, asyncio.Semaphore(1))
    told = {drive.fsuuid: unwell["told"]} if unwell else unwell
    info = m.NodeInfo(name="n1", topology={})
    worker.heard(m.NodeState(info=info, boot="b", sequence=1, drives={drive.fsuuid: 1}, unwell=told), "now")
    await asyncio.gather(*spawned)
    return ledger.drives[drive.fsuuid].record.conditions


class Heard(Deaf):
    """A bus on which the node answers that it destroyed the volume."""

    def __init__(self) -> None:
        self.orders: list[m.RemoveVolume] = []

    async def call(self, endpoint: object, request: object, **how: object) -> Any:
        assert isinstance(request, m.RemoveVolume)
        self.orders.append(request)
        return m.VolumeRemoved(purged=True)


async def removed(waited: m.VolumeRecord, now: m.VolumeRecord, drive: m.DriveRecord) -> list[m.RemoveVolume]:
    """Return which orders a node gets when one to remove a volume waited, and the registry says ``now`` by then."""
    ledger = Ledger.load(Snapshot([drive], [now]), random.random)
    term, bus = term_of(ledger, Events()), Heard()
    term.bus = bus  # type: ignore[assignment]
    worker = NodeWorker("n1", term, lambda work: work.close(), asyncio.Semaphore(1))
    await worker._remove(waited)
    if not bus.orders:
        with pytest.raises(Unavailable, match="not to be destroyed"):
            await worker.purge(waited, within=1)
    assert ledger.check() == []
    return bus.orders


async def test_an_order_to_remove_that_waited_is_not_given_when_it_is_not_wanted_any_more() -> None:
    drive = drive_record()
    going = volume_record("v1", drive, incarnation="aa", deleting=True)
    assert await removed(going, replace(going, deleting=False), drive) == [], "the deletion was taken back"
    assert await removed(going, replace(going, incarnation="bb"), drive) == [], "it is deleted and made anew"
    nameless = replace(going, incarnation="")
    assert await removed(nameless, replace(nameless, deleting=False), drive) == [], (
        "made before there were incarnations"
    )


async def test_an_order_to_remove_names_the_incarnation() -> None:
    drive = drive_record()
    going = volume_record("v1", drive, incarnation="aa", deleting=True)

    assert [order.incarnation for order in await removed(going, going, drive)] == ["aa"]


async def test_why_a_node_refuses_a_volume_is_remembered_as_long_as_it_does_and_there_is_the_volume() -> None:
    drive = drive_record()
    record = volume_record("v1", drive)
    ledger = Ledger.load(Snapshot([drive], [record]), random.random)
    worker = NodeWorker("n1", term_of(ledger, Events()), lambda work: work.close(), asyncio.Semaphore(1))

    worker._note_prepared((record,), m.Prepared(failed={"v1": "no room"}))
    assert ledger.volumes["v1"].refused == "no room"
    worker._note_prepared((record,), m.Prepared())
    assert ledger.volumes["v1"].refused == ""

    worker._note_prepared((record,), m.Prepared(failed={"v1": "no room"}))
    ledger.remove(ledger.volumes["v1"]).done()
    worker._note_prepared((record,), m.Prepared(failed={"v1": "no room"}))
    again, change = ledger.place(wanted_from(request("v1")), now="")
    assert change is not None
    assert again.refused == "", "of another one nothing was said"


async def test_drives_that_wait_for_each_other_are_settled_when_they_are_compared_again_together() -> None:
    """The registry was lost when a volume was all copied: each drive says something that only the other explains."""
    old, new = drive_record(), drive_record()
    ledger, events = Ledger.load(Snapshot([], []), random.random), Events()
    spawned: list[Coroutine[None, None, None]] = []
    worker = NodeWorker("n1", term_of(ledger, events), spawned.append, asyncio.Semaphore(1))
    info, move = m.NodeInfo(name="n1", topology={}), "0123456789abcdef"
    sealed = m.HeldVolume(record=volume_record("v1", old), sealed=move, stray_of=new.fsuuid)
    both = (
        replace(held(old), volumes=(sealed,)),
        replace(held(new), copies=(m.HeldCopy(name="v1", move=move),)),
    )

    for sequence in (1, 2):
        worker.heard(
            m.NodeState(info=info, boot="b", sequence=sequence, drives=dict.fromkeys((old.fsuuid, new.fsuuid), 1)), ""
        )
        assert worker._differing() == [old.fsuuid, new.fsuuid]
        await worker._take_in(m.Inventory(info=info, boot="b", drives=both))
        worker._retries = dict.fromkeys(worker._retries, 0.0)  # the time to wait is over
    for work in spawned:
        work.close()

    assert "unseal" in [work.__name__ for work in spawned]
    assert [ledger.volumes["v1"].record.fsuuid, ledger.volumes["v1"].seen] == [old.fsuuid, GIB]
