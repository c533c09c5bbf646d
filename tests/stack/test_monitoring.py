"""A real Prometheus scrapes a real stack: every panel shows data, alerts fire when a drive is pulled, and resolve."""

import asyncio
import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server

from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import GIB, MIB
from stack.test_health import a_pod, device_of, pull
from support.cluster import Cluster, eventually
from support.ports import free_port
from support.prometheus import TOP, lint, scrape
from support.watching import Prometheus, filled, prometheus
from unit.nodeagent.serving.test_metrics import registry

pytestmark = pytest.mark.timeout(300)
OF_DISKS = re.compile("temperature|wear|spare|media_errors|power_on")
"""Loop devices have no disk that could tell these; a collector with a disk's answers is scraped, too."""


DISK = f"00000000-0000-4000-8000-{0:012x}"
"""The drive of that collector."""


def boards() -> dict[str, Any]:
    folder = TOP / "manifests/monitoring/dashboards"
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


async def test_every_panel_shows_data_and_alerts_of_a_pulled_drive_fire_and_resolve(
    exposing: Cluster, ports: dict[str, int], tmp_path: Path
) -> None:
    running = exposing
    disk_port = free_port()
    server, thread = start_http_server(disk_port, "127.0.0.1", registry(1, 1))
    pod = await a_pod(running)
    drive = pod.volume.volume_context[DRIVE]
    try:
        with prometheus(tmp_path, [*ports.values(), disk_port]) as prom:
            begun = time.time()
            await eventually(lambda: _all_show(prom, drive, pod.target, begun), "every panel shows data")
            await asyncio.to_thread(_one_node_alone, prom)
            wrong = [
                line
                for name, port in ports.items()
                for line in lint(scrape(port))
                if not line.startswith("directpv_stats_")
            ]
            assert wrong == []
            before = prom.firing()
            await _pulled(running, prom, drive, before)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


async def _all_show(prom: Prometheus, drive: str, target: str, since: float) -> None:
    """Write and read a little, look at every panel, and fail with those that show nothing."""
    await asyncio.to_thread(_use_disk, Path(target, "file"))
    dark = []
    for name, board in boards().items():
        ours = await asyncio.to_thread(prom.chosen, board, node="node-1", drive=drive, volume="pvc-1")
        disks = await asyncio.to_thread(prom.chosen, board, node="n1", drive=DISK, volume="pvc-0-0")
        for panel in board["panels"]:
            for target in panel["targets"]:
                chosen = disks if OF_DISKS.search(target["expr"]) else ours
                query = filled(target["expr"], {**chosen, "__rate_interval": "10s"})
                if not await asyncio.to_thread(prom.shown, query, since):
                    dark.append(f"{name}, {panel['title']}: {query}")
    assert not dark, "\n".join(dark)


def _one_node_alone(prom: Prometheus) -> None:
    """What a node's dashboard shows is of that node."""
    board = boards()["directpv-node"]
    chosen = prom.chosen(board, node="node-1")
    (states,) = board["panels"][0]["targets"]
    shown = prom.ask("query", query=filled(states["expr"], chosen))["result"]
    assert [each["metric"]["node"] for each in shown] == ["node-1", "node-1"]


def _use_disk(file: Path) -> None:
    """Write to the disk, and read it back from there: panels of latency show nothing of an idle disk."""
    with file.open("wb") as written:
        written.write(os.urandom(MIB))
        written.flush()
        os.fsync(written.fileno())
    with file.open("rb") as read:
        os.posix_fadvise(read.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        read.read()


async def _pulled(running: Cluster, prom: Prometheus, drive: str, before: set[str]) -> None:
    expected = {"DirectPVDriveLost", "DirectPVDrivesNotServed"}
    assert not before & expected
    device = await asyncio.to_thread(device_of, running, drive)
    file = await asyncio.to_thread(pull, running, device)

    async def told() -> None:
        assert expected <= await asyncio.to_thread(prom.firing)

    await eventually(told, "the alerts of a lost drive fire")
    async with running.csi() as client:
        with contextlib.suppress(Exception):
            await client.controller.CreateVolume(creation("pvc-2", 100 * GIB))

    async def refused() -> None:
        assert "DirectPVPlacementRefused" in await asyncio.to_thread(prom.firing)

    await eventually(refused, "the alert of a refused volume fires")
    await asyncio.to_thread(disks.command, "losetup", f"/dev/{device}", file)

    async def over() -> None:
        assert not expected & await asyncio.to_thread(prom.firing)

    await eventually(over, "the alerts are over when the drive is back")
