"""What the agent tells: heartbeats, events, metrics, probes; and that none of it is needed to serve a node."""

import asyncio
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import (
    ConditionType,
    DriveStatus,
    Empty,
    GetInventory,
    NodeMetrics,
    NodeState,
    VolumeRecord,
)
from directpv_common.protocol.names import TENANT
from directpv_common.protocol.wire import decode
from integration.nodeagent.harness import AgentProcess, Loops, unmount, wait_until
from support.nats import nats_server
from support.node_client import MIB, Client, eventually
from support.ports import free_port


async def gather(bus: Bus, subject: str, kind: Any) -> list[Any]:
    """Messages on ``subject`` from now on; the list grows."""
    found: list[Any] = []
    await bus.subscribe(subject, lambda message: found.append(decode(message.data, kind)))
    await bus.client.flush()
    return found


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(text: str, name: str, *labels: str) -> float | None:
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        if head.split("{")[0] == name and all(label in head for label in labels):
            return float(value)
    return None


async def test_a_change_is_told_at_once_with_a_generation_that_grows(
    agent: AgentProcess, loops: Loops, client: Client, pods: Path
) -> None:
    agent.extra = ("--heartbeat-interval=1000",)
    device = loops.make()
    agent.start(device)
    fsuuid = await client.make_drive(device)
    states: list[NodeState] = await gather(client.bus, client.bus.subjects.state("n1"), NodeState)

    await client.make_volume(fsuuid, "pvc-1")
    await eventually(lambda: _at_least(states, 1), "told of the volume", 5)
    await client.stage("pvc-1", pods / "s")
    await eventually(lambda: _at_least(states, 2), "told of the mount", 5)

    first, second = states[0], states[1]
    assert second.drives[fsuuid] > first.drives[fsuuid]
    assert second.sequence > first.sequence
    last = (await client.held(fsuuid)).generation

    async def told() -> bool:
        return states[-1].drives[fsuuid] == last

    await eventually(told, "told of the last change")


async def test_heartbeats_say_which_drives_are_unwell_and_why_however_long_the_list_of_their_volumes(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    device, other = loops.make(), loops.make()
    agent.start(device, other)
    pulled, well = await client.make_drive(device), await client.make_drive(other)
    states: list[NodeState] = await gather(client.bus, client.bus.subjects.state("n1"), NodeState)
    await eventually(lambda: _at_least(states, 1), "told while all is well")
    assert states[-1].unwell == {}

    unmount(agent.root / "mnt" / pulled)
    loops.detach(device)

    async def told() -> bool:  # before it is gone it may be seen unmounted
        unwell = {fsuuid: each.status for fsuuid, each in (states[-1].unwell or {}).items()}
        return unwell == {pulled: DriveStatus.LOST}

    await eventually(told, "told that one of two is lost")
    health = (states[-1].unwell or {})[pulled]
    assert [condition.type for condition in health.conditions] == [ConditionType.LOST]
    assert states[-1].drives.keys() == {pulled, well}


async def test_heartbeats_come_without_any_change(agent: AgentProcess, drive: str, client: Client) -> None:
    states: list[NodeState] = await gather(client.bus, client.bus.subjects.state("n1"), NodeState)

    await eventually(lambda: _at_least(states, 3), "heartbeats")

    assert states[0].drives.keys() == {drive}
    assert states[0].info.topology["directpv.min.io/identity"] == "directpv-min-io"
    assert len({state.boot for state in states}) == 1


async def test_a_node_answers_the_roll_call_of_a_leader_at_once(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    agent.extra = ("--heartbeat-interval=1000",)
    agent.start(loops.make())
    states: list[NodeState] = await gather(client.bus, client.bus.subjects.state("n1"), NodeState)

    for calls in range(10):  # more than the changes of a start that are told without being asked
        heard = len(states)

        async def answered(heard: int = heard) -> bool:
            await client.bus.publish(client.bus.subjects.roll_call, Empty())
            return len(states) > heard

        await eventually(answered, f"an answer to call {calls}", 10)


async def _at_least(found: list[Any], count: int) -> bool:
    return len(found) >= count


async def test_the_life_of_a_volume_can_be_read_from_the_events(
    agent: AgentProcess, loops: Loops, client: Client, pods: Path
) -> None:
    heard: list[CloudEvent] = await gather(client.bus, client.bus.subjects.all_events, CloudEvent)
    device = loops.make()
    agent.start(device)
    fsuuid = await client.make_drive(device)
    await client.make_volume(fsuuid, "pvc-1")
    for _ in range(2):
        await client.stage("pvc-1", pods / "s")
        await client.publish("pvc-1", pods / "s", pods / "t", pod_name="db-0", pod_namespace="prod")
    for _ in range(2):
        await client.unpublish("pvc-1", pods / "t")
        await client.unstage("pvc-1", pods / "s")
    await client.remove(fsuuid, "pvc-1")

    async def told() -> list[CloudEvent]:
        # What udev finds out about the device, and when, is told as events of the device among them.
        events = [event for event in heard if not event.type.startswith("io.min.directpv.device.")]
        return events if len(events) >= 7 else []

    events: list[CloudEvent] = await eventually(told, "events")
    assert [event.type.removeprefix("io.min.directpv.") for event in events] == [
        "drive.added", "volume.staged", "volume.published", "volume.unpublished", "volume.unstaged", "volume.removed",
        "volume.purged",
    ]  # fmt: skip
    assert events[0].subject == fsuuid
    assert {event.subject for event in events[1:]} == {"pvc-1"}
    assert events[2].data == {
        "drive": fsuuid, "path": str(pods / "t"), "read_only": False, "suspended": False, "pod": "db-0",
        "namespace": "prod",
    }  # fmt: skip


async def test_metrics_have_upstreams_names_and_follow_the_facts(
    agent: AgentProcess, device: str, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1", labels={TENANT: "acme"})
    await client.make_volume(drive, "pvc-idle")
    await client.stage("pvc-1", pods / "s")
    await client.publish("pvc-1", pods / "s", pods / "t")
    (pods / "t/file").write_bytes(b"x" * MIB)
    volume = ('volumeID="pvc-1"', 'tenant="acme"', 'node="n1"')

    async def sampled() -> str:
        text = (await asyncio.to_thread(get, agent.metrics_port, "/directpv/metrics"))[1]
        return text if (metric(text, "directpv_stats_bytes_used", *volume) or 0) >= MIB else ""

    text = await eventually(sampled, "sampled")

    assert metric(text, "directpv_stats_bytes_total", *volume) == 20 * MIB
    assert metric(text, "directpv_stats_bytes_total", 'volumeID="pvc-idle"') is None
    assert metric(text, "directpv_stats_drive_ready", f'drive="{drive}"') == 1
    assert (metric(text, "directpv_stats_drive_total_write_bytes", f'drive="{drive}"') or 0) > 0
    for name in ("total_read_bytes", "read_latency_seconds", "write_latency_seconds", "wait_time_seconds"):
        assert metric(text, f"directpv_stats_drive_{name}", f'drive="{drive}"') is not None
    assert metric(text, "directpv_volume_abnormal", 'volume="pvc-1"') == 0
    assert (metric(text, "directpv_node_rescans_total") or 0) >= 1
    assert metric(text, "directpv_node_hung_threads") == 0


async def test_a_drive_whose_device_is_gone_is_shown_as_not_ready(
    agent: AgentProcess, loops: Loops, device: str, drive: str, client: Client
) -> None:
    unmount(agent.root / "mnt" / drive)
    loops.detach(device)
    await client.drive_when(drive, lambda held: held.record.status == "Lost", "lost")

    async def not_ready() -> bool:
        text = (await asyncio.to_thread(get, agent.metrics_port, "/metrics"))[1]
        return metric(text, "directpv_stats_drive_ready", f'drive="{drive}"') == 0

    await eventually(not_ready, "drive_ready 0")


async def test_samples_are_published(agent: AgentProcess, drive: str, client: Client) -> None:
    samples: list[NodeMetrics] = await gather(client.bus, client.bus.subjects.metrics("n1"), NodeMetrics)

    async def seen() -> bool:
        return any(sample.drives and sample.drives[0].ready for sample in samples)

    await eventually(seen, "published")


async def test_probes_answer(agent: AgentProcess, drive: str) -> None:
    assert get(agent.readiness_port, "/ready") == (200, "ok\n")
    assert get(agent.readiness_port, "/healthz")[0] == 200


async def test_the_bus_may_be_away_at_the_start_and_at_any_time(base: Path, agent: AgentProcess, loops: Loops) -> None:
    agent.port = free_port()
    device = loops.make()
    agent.start(device)
    wait_until(lambda: "cannot be reached" in agent.log_text(), "noticed that there is no bus")
    store = base / "late"
    with nats_server(store, agent.port):
        async with connect_bus(f"nats://127.0.0.1:{agent.port}", name="test", prefix="directpv.v1") as bus:
            fsuuid = await Client(bus, "n1").make_drive(device)
    await asyncio.sleep(1.0)  # longer than heartbeats and samples, which go nowhere
    assert agent.process is not None
    assert agent.process.poll() is None
    with nats_server(store, agent.port):
        async with connect_bus(f"nats://127.0.0.1:{agent.port}", name="test", prefix="directpv.v1") as bus:
            client = Client(bus, "n1")
            assert await client.prepare(VolumeRecord(name="v", fsuuid=fsuuid, capacity=MIB)) == {}
    assert agent.kill(signal.SIGTERM) == 0


async def test_a_device_that_goes_and_comes_is_told_drive_or_not(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    device, other = loops.make(), loops.make()
    agent.start(device, other)
    events: list[CloudEvent] = await gather(client.bus, client.bus.subjects.event("n1", "device", "*"), CloudEvent)
    await client.ask(Node.DEVICE_LIST, Empty())

    async def told(*kinds: str) -> bool:
        heard = (event.type.rpartition(".")[2] for event in events if event.subject == other)
        return tuple(kind for kind in heard if kind != "changed") == kinds  # as udev finds out more about it

    path = loops.detach(other)
    await eventually(lambda: told("removed"), "that it went is told")
    loops.attach_at(int(other.removeprefix("loop")), path)
    await eventually(lambda: told("removed", "added"), "that it came is told")
    assert not [event for event in events if event.subject == device]


async def test_an_inventory_of_thousands_of_volumes_comes_in_parts_that_fit_into_messages(
    drive: str, client: Client
) -> None:
    labels = {f"directpv.min.io/label-{number}": "some value" for number in range(8)}
    names = [f"pvc-{number:04}" for number in range(2_000)]
    for begin in range(0, len(names), 100):
        records = (
            VolumeRecord(name=name, fsuuid=drive, capacity=4096, labels=labels) for name in names[begin : begin + 100]
        )
        assert await client.prepare(*records) == {}

    told: list[str] = []
    parts, left, after = 0, (drive,), ""
    while left:
        inventory = await client.ask(Node.INVENTORY_GET, GetInventory(drives=left, after=after, paged=True))
        (held,) = inventory.drives
        told += [volume.record.name for volume in held.volumes]
        left, after, parts = (drive,) if held.more else inventory.left, held.more, parts + 1
    assert told == names
    assert parts > 1
