"""The bays of a node with what disks say of themselves: answers of smartctl to emulated disks, as an agent reads them.

Loop devices have no SMART. So the agent of one node is played from its own connection, with its rights, for drives that
it has made: heartbeats, inventories and samples are real messages to the real controller and console.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import expect

import directpv_common.protocol.messages as m
from console.acting import confirmed, planned
from console.conftest import MS, WITHIN, Visit, accessible
from directpv_cli.commands.listing import all_drives
from directpv_cli.local import keys
from directpv_common.access.nkey import read_seed
from directpv_common.bus.connecting import connect_bus
from directpv_nodeagent.devices.core.smart import parse_smartctl
from integration.controller.node import PlayedNode
from support.cluster import Cluster, in_thread

OUTPUTS = Path(__file__).parents[1] / "unit/nodeagent/devices/smartctl"
SAMPLE_SECONDS = 0.5
NODE = "node-2"


def sample(fsuuid: str, output: str, wear: int | None = None) -> m.DriveMetrics:
    """Return what an agent samples of a drive whose disk answered so; ``wear`` as of a disk that was used."""
    health = parse_smartctl((OUTPUTS / f"{output}.json").read_text(), 0)
    assert health is not None
    return m.DriveMetrics(
        fsuuid=fsuuid,
        ready=True,
        temperature_celsius=health.temperature,
        media_errors=health.media_errors,
        wear_percent=health.wear if wear is None else wear,
        spare_percent=health.spare,
        power_on_hours=health.power_on_hours,
        failure_predicted=health.predicted,
    )


class Agent:
    """Plays a node's agent in a thread of its own."""

    def __init__(self, running: Cluster, node: PlayedNode) -> None:
        self.node = node
        self.samples: dict[str, m.DriveMetrics] = {}
        self._running = running
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        stack = self._running.stack
        key = read_seed(keys.key_file(stack.directory, f"nodeagent-{self.node.name}"))
        connection = connect_bus(stack.nats_url, name="played", prefix="directpv.v1", nkey=key)
        async with connection as bus, self.node.running(bus):
            while not self._end.is_set():
                time, drives = datetime.now(UTC).isoformat(), tuple(self.samples.values())
                said = m.NodeMetrics(node=self.node.name, time=time, drives=drives)
                await bus.publish(bus.subjects.metrics(self.node.name), said)
                await asyncio.sleep(SAMPLE_SECONDS)

    @contextlib.contextmanager
    def at_work(self) -> Iterator["Agent"]:
        """Play while the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            self._thread.join(WITHIN)

    def predicts_failure(self, fsuuid: str) -> None:
        """Have a disk answer that it will fail; the agent warns of its drive."""
        warning = m.Condition(
            type=m.ConditionType.FAILURE_PREDICTED, message="it is unreliable", since=datetime.now(UTC).isoformat()
        )
        drive = self.node.drives[fsuuid]
        drive.record = msgspec.structs.replace(drive.record, conditions=(warning,))
        drive.generation += 1
        self.samples[fsuuid] = sample(fsuuid, "nvme-failing", wear=97)


@pytest.fixture
def agent(running: Cluster) -> Iterator[Agent]:
    """The agent of the second node, in place of the one that ran: three drives, each with a disk of another kind."""

    async def known() -> list[m.DriveRecord]:
        async with running.bus() as bus:
            return [each.record for each in await all_drives(bus, m.ListDrives(nodes=(NODE,)))]

    records = in_thread(lambda: asyncio.run(known()))
    running.kill(f"nodeagent-{NODE}")
    node = PlayedNode(NODE)
    for record in records:
        facts = msgspec.structs.asdict(record)
        node.add_drive(**facts)
    played = Agent(running, node)
    first, second, third = sorted(node.drives, key=lambda each: node.drives[each].record.device)
    played.samples = {
        first: sample(first, "nvme", wear=12),
        second: sample(second, "ata"),
        third: m.DriveMetrics(fsuuid=third, ready=True),
    }
    with played.at_work():
        yield played
    running.start(f"nodeagent-{NODE}")


def test_each_bay_says_what_its_disk_says_and_one_that_expects_to_fail_is_told_of_without_reload(
    visit: Visit, agent: Agent
) -> None:
    page = visit.go(f"nodes/{NODE}")
    page.evaluate("window.kept = true")
    first, second, third = (page.locator(f"a.bay[href$='{fsuuid}']") for fsuuid in agent.samples)
    expect(first.locator(".disk")).to_have_text("50 °C wear 12 % SMART passed", timeout=2 * MS)
    expect(second.locator(".disk")).to_have_text("31 °C SMART passed")
    expect(third.locator(".disk")).to_have_text("")
    for bay in (first, second, third):
        expect(bay).to_have_class("bay good")
        expect(bay).to_contain_text("Ready")

    fsuuid = next(iter(agent.samples))
    agent.predicts_failure(fsuuid)
    expect(first.locator(".disk")).to_have_text("50 °C wear 97 % SMART failing")
    expect(first).to_have_class("bay fair", timeout=2 * MS)
    expect(page.locator("#verdict")).not_to_contain_text("Healthy")
    expect(page.locator("#state .items")).to_contain_text("it is unreliable")
    accessible(page)
    assert page.evaluate("window.kept") is True
    disk = visit.go(f"drives/{fsuuid}")
    expect(disk.locator("main")).to_contain_text("97 %")
    expect(disk.locator("#state .items")).to_contain_text("it is unreliable")


def test_the_light_of_a_bay_is_lit_and_put_out_by_plan_and_progress(visit: Visit, agent: Agent) -> None:
    fsuuid = next(iter(agent.samples))
    for button, was, is_now in (("Locate", "dark", "lit"), ("Light off", "lit", "dark")):
        page = planned(visit.go(f"drives/{fsuuid}"), button)
        expect(page.locator(".log")).to_contain_text(f"is in bay Slot 03, whose light is {was}")
        assert agent.node.lit.get(fsuuid, False) is (was == "lit")
        assert f"is in bay Slot 03, whose light is {is_now}" in confirmed(page)
        assert agent.node.lit[fsuuid] is (is_now == "lit")
