"""Drives over the real bus: init, repair, cordon, labels, and what the probes and metrics say."""

import asyncio
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest, NoCapacity, NotFound, Unavailable
from integration.controller.drives import has_status
from integration.controller.harness import Controller, read_registry, until
from integration.controller.node import GIB, PlayedNode
from support.nats import NatsServer

Start = Callable[..., Controller]


def device(name: str, fsuuid: str = "") -> m.Device:
    return m.Device(name=name, id=f"id-of-{name}", major_minor="7:0", size=GIB, fsuuid=fsuuid)


async def test_init_formats_on_the_node_and_registers_before_it_replies(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node, other = PlayedNode("n1"), PlayedNode("n2")
    foreign = other.add_drive()
    node.devices = {"sda": device("sda"), "sdb": device("sdb", fsuuid=foreign), "sdc": device("sdc", fsuuid="f" * 8)}
    async with node.running(bus), other.running(bus):
        await until(lambda: has_status(bus, foreign, m.DriveStatus.READY), "the other node's drive is known")
        asked = tuple(m.FormatDevice(id=f"id-of-{name}", name=name) for name in ("sda", "sdb"))
        reply = await bus.call(Api.DRIVE_INIT, m.InitDevices(node="n1", devices=asked), within=20)

        assert [(result.name, result.error) for result in reply.results] == [
            ("sda", ""),
            ("sdb", "holds a registered drive"),
        ]
        assert node.formats[-1].registered == (foreign,)
        made = reply.results[0].drive
        assert made is not None
        registered = {record.fsuuid: record for record in read_registry(tmp_path / "registry.db").drives}
        assert registered[made.fsuuid].node == "n1"
        created = await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
        assert created.record.fsuuid in {made.fsuuid, foreign}


async def test_init_on_a_node_that_is_unknown_or_away_fails_at_once_and_says_which(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
    asked = (m.FormatDevice(id="x", name="sda"),)

    with pytest.raises(FailedPrecondition, match="start its agent"):
        await bus.call(Api.DRIVE_INIT, m.InitDevices(node="n1", devices=asked), within=20)
    with pytest.raises(NotFound, match="n9 is unknown"):
        await bus.call(Api.DRIVE_INIT, m.InitDevices(node="n9", devices=asked), within=20)


async def test_a_repair_goes_to_the_drives_node_with_all_flags_and_no_volume_goes_to_the_drive_meanwhile(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        asked = m.RepairDrive(fsuuid=fsuuid, id="r1", force=True, disable_prefetch=True, dry_run=True)
        begun = await bus.call(Api.DRIVE_REPAIR, asked, within=20)

        assert (begun.outcome, begun.id) == (m.RepairOutcome.RUNNING, "r1")
        (order,) = node.repairs
        assert (order.force, order.disable_prefetch, order.dry_run) == (True, True, True)
        assert order.fence.epoch > 0
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.REPAIRING), "shown as being repaired")
        with pytest.raises(NoCapacity, match="1 repairing"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB), within=2)
        node.end_repair(fsuuid)
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "Ready again")
        ended = await bus.call(Api.DRIVE_REPAIR_STATUS, m.DriveId(fsuuid=fsuuid))
        assert ended.outcome is m.RepairOutcome.REPAIRED


async def test_a_repair_of_an_unknown_drive_or_on_a_silent_node_fails_at_once_and_says_why(
    bus: Bus, controllers: Start
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")

    with pytest.raises(FailedPrecondition, match=r"node n1 of drive .* start its agent"):
        await bus.call(Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=fsuuid, id="r1"), within=20)
    with pytest.raises(Unavailable, match="node n1"):
        await bus.call(Api.DRIVE_REPAIR_STATUS, m.DriveId(fsuuid=fsuuid), within=20, patient=False)
    unknown = "00000000-0000-4000-8000-00000000dead"
    with pytest.raises(NotFound, match=unknown):
        await bus.call(Api.DRIVE_REPAIR, m.RepairDrive(fsuuid=unknown, id="r1"), within=20)


async def test_a_signal_makes_the_leader_check_its_invariants(bus: Bus, controllers: Start) -> None:
    controller = controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        controller.send(signal.SIGUSR1)
        await until(lambda: controller.said("invariants checked"), "checked")
        assert not controller.said("invariant violated")


async def test_cordon_and_labels_are_recorded_and_kept_on_the_drive(
    bus: Bus, controllers: Start, tmp_path: Path
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        change = m.ChangeDrive(fsuuid=fsuuid, unschedulable=True, set_labels={"directpv.min.io/class": "a"})
        info = await bus.call(Api.DRIVE_CHANGE, change)

        assert info.record.unschedulable
        assert [r.labels for r in read_registry(tmp_path / "registry.db").drives] == [{"directpv.min.io/class": "a"}]
        await until(lambda: node.drives[fsuuid].record.unschedulable, "the drive is told")
        with pytest.raises(NoCapacity, match="1 cordoned"):
            await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
        with pytest.raises(InvalidRequest, match="reserved"):
            await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, remove_labels=("directpv.min.io/node",)))
        with pytest.raises(NotFound):
            await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid="0" * 8 + "-0000-0000-0000-" + "0" * 12))


async def test_a_cordon_while_the_node_is_away_reaches_the_drive_when_it_returns(bus: Bus, controllers: Start) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
    await bus.call(Api.DRIVE_CHANGE, m.ChangeDrive(fsuuid=fsuuid, unschedulable=True))
    assert not node.drives[fsuuid].record.unschedulable

    node.restart()
    async with node.running(bus):
        await until(lambda: node.drives[fsuuid].record.unschedulable, "the drive is told")


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


async def test_leader_and_standby_are_ready_and_only_the_leader_shows_drives(
    nats: NatsServer, bus: Bus, controllers: Start
) -> None:
    first = controllers("c1")
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with node.running(bus):
        await until(lambda: has_status(bus, fsuuid, m.DriveStatus.READY), "registered")
        await bus.call(Api.VOLUME_CREATE, m.CreateVolume(name="v1", required=GIB))
        second = controllers("c2")

        async def is_ready(controller: Controller) -> bool:
            return (await asyncio.to_thread(fetch, controller.port, "/ready"))[0] == 200

        await until(lambda: is_ready(first), "the leader is ready")
        await until(lambda: is_ready(second), "the standby is ready")
        _, text = await asyncio.to_thread(fetch, first.port, "/metrics")
        assert "directpv_controller_is_leader 1.0" in text
        assert 'directpv_controller_drives{status="Ready"} 1.0' in text
        assert "directpv_controller_volumes 1.0" in text
        assert 'directpv_controller_requests_total{endpoint="volume-create",outcome="OK"} 1.0' in text
        assert "directpv_controller_commit_batch_size_count" in text
        _, text = await asyncio.to_thread(fetch, second.port, "/metrics")
        assert "directpv_controller_is_leader 0.0" in text

    nats.kill()

    async def is_unready() -> bool:
        return (await asyncio.to_thread(fetch, second.port, "/ready")) == (503, "not connected to NATS\n")

    await until(is_unready, "without bus nobody is ready")
    assert (await asyncio.to_thread(fetch, first.port, "/healthz"))[0] == 200
    nats.start()


async def test_a_controller_that_finds_no_bus_waits_for_it(nats: NatsServer, bus: Bus, controllers: Start) -> None:
    nats.kill()
    controller = controllers("c1")
    await until(lambda: controller.said("no NATS server answers yet"), "it says so")
    assert (await asyncio.to_thread(fetch, controller.port, "/ready"))[0] == 503
    assert (await asyncio.to_thread(fetch, controller.port, "/healthz"))[0] == 200

    nats.start()

    assert (await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=20)).drives == ()
