"""Metrics of a running agent: what Prometheus' own tool says of them, and that they say what the plugin shows."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from directpv_common.protocol.api import Node
from directpv_common.protocol.messages import DriveStatus, GetVolumeHealth, HeldDrive
from directpv_common.protocol.reasons import Reason, reason_for
from integration.nodeagent.faults import is_ready
from integration.nodeagent.harness import AgentProcess, Loops, unmount
from support.node_client import MIB, Client, eventually
from support.prometheus import Series, lint, parsed, scrape, values

UPSTREAMS = "directpv_stats_"
"""Names that upstream's dashboards ask for."""


async def test_promtool_finds_fault_with_upstreams_names_alone(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1")
    await client.stage("pvc-1", pods / "s")
    await client.publish("pvc-1", pods / "s", pods / "t")

    async def measured() -> str:
        text = scrape(agent.metrics_port)
        return text if "directpv_volume_available_bytes{" in text else ""

    text = await eventually(measured, "the volume is measured")

    assert [line for line in lint(text) if not line.startswith(UPSTREAMS)] == []


async def test_a_drive_and_its_volume_have_their_figures(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    await client.make_volume(drive, "pvc-1", pvc_name="data", pvc_namespace="shop")
    await client.stage("pvc-1", pods / "s")
    await client.publish("pvc-1", pods / "s", pods / "t")
    (pods / "t/file").write_bytes(b"x" * MIB)
    os.sync()
    held = await client.held(drive)

    async def measured() -> Series | None:
        found = parsed(scrape(agent.metrics_port))
        used = values(found, "directpv_stats_bytes_used", volumeID="pvc-1").get((), 0)
        return found if used >= MIB else None

    found: Series = await eventually(measured, "the volume is measured")

    def of_drive(name: str) -> float:
        return values(found, f"directpv_drive_{name}", drive=drive)[()]

    info = values(found, "directpv_drive_info", "node", "device", "tier", drive=drive)
    assert info == {("n1", held.record.device, "Default"): 1}
    assert of_drive("capacity_bytes") == held.record.total
    assert of_drive("allocated_bytes") == held.record.overhead + held.volumes[0].record.capacity
    assert of_drive("allocated_bytes") + of_drive("free_bytes") == held.record.total
    assert of_drive("volumes") == 1
    assert of_drive("used_bytes") >= MIB
    assert 0 < of_drive("inodes_free") <= of_drive("inodes")
    assert of_drive("writes_completed_total") > 0
    assert of_drive("requests_in_flight") >= 0
    owner = values(found, "directpv_volume_info", "drive", "claim_namespace", "claim", volume="pvc-1")
    assert owner == {(drive, "shop", "data"): 1}
    assert values(found, "directpv_volume_inodes_free", volume="pvc-1")[()] > 0
    assert values(found, "directpv_build_info", "component") == {("nodeagent",): 1}
    assert values(found, "directpv_bus_connected", "component") == {("nodeagent",): 1}
    assert values(found, "process_resident_memory_bytes")[()] > 0


def states(found: Series, drive: str) -> tuple[list[str], list[str]]:
    """Return the states and the reasons that hold for a drive."""
    status = values(found, "directpv_drive_status", "status", drive=drive)
    reasons = values(found, "directpv_drive_condition", "reason", drive=drive)
    assert set(status) == {(each.value,) for each in DriveStatus}
    return [key[0] for key, value in status.items() if value], [key[0] for key, value in reasons.items() if value]


async def test_a_volume_whose_directory_is_gone_has_no_figures_and_costs_no_other_of_the_drive_its_own(
    agent: AgentProcess, drive: str, client: Client, pods: Path
) -> None:
    for name in ("pvc-1", "pvc-2", "pvc-3"):
        await client.make_volume(drive, name)
        await client.stage(name, pods / f"s-{name}")
        await client.publish(name, pods / f"s-{name}", pods / f"t-{name}")

    async def sampled() -> set[tuple[str, ...]]:
        return set(values(parsed(scrape(agent.metrics_port)), "directpv_stats_bytes_used", "volumeID"))

    await eventually(lambda: _is(sampled, {("pvc-1",), ("pvc-2",), ("pvc-3",)}), "all volumes are measured")
    place = agent.root / "mnt" / drive
    (place / "pvc-2").rename(place / "elsewhere")
    await eventually(lambda: _is(sampled, {("pvc-1",), ("pvc-3",)}), "the other volumes are measured")


async def _is(asked: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await asked() == wanted


async def test_the_state_that_metrics_show_is_the_state_that_the_plugin_shows(
    agent: AgentProcess, loops: Loops, client: Client
) -> None:
    """The plugin shows what the inventory says. No sample is taken meanwhile: states do not wait for one."""
    agent.extra = ("--metrics-interval=1000",)
    device = loops.make()
    agent.start(device)
    drive = await client.make_drive(device)
    await client.make_volume(drive, "pvc-1")
    assert states(parsed(scrape(agent.metrics_port)), drive) == (["Ready"], [])
    unmount(agent.root / "mnt" / drive)
    file = loops.detach(device)

    def gone(held: HeldDrive) -> bool:
        return held.record.status == "Lost"

    held = await client.drive_when(drive, gone, "lost")
    shown = states(parsed(scrape(agent.metrics_port)), drive)
    health = await client.ask(Node.VOLUME_HEALTH, GetVolumeHealth(name="pvc-1"))

    assert shown == ([held.record.status.value], [reason_for(each.type) for each in held.record.conditions])
    assert shown[1] == [each.reason for each in health.ailments] == [Reason.DRIVE_LOST]
    loops.attach_at(int(device.removeprefix("loop")), file)
    await client.drive_when(drive, is_ready, "ready again")
    assert states(parsed(scrape(agent.metrics_port)), drive) == (["Ready"], [])
