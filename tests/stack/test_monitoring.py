"""A real Prometheus scrapes a real stack: every panel shows data, alerts fire when a drive is pulled, and resolve."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import start_http_server

from directpv_cli.local import stack
from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_common.protocol.names import DRIVE
from directpv_common.protocol.units import GIB, MIB
from stack.test_health import a_pod, device_of, pull
from support.cluster import Cluster, cluster, eventually, in_thread
from support.ports import free_port
from support.prometheus import TOP, lint, program, scrape
from unit.nodeagent.serving.test_metrics import registry

pytestmark = pytest.mark.timeout(300)
OF_DISKS = re.compile("temperature|wear|spare|media_errors|power_on")
"""Loop devices have no disk that could tell these; a collector with a disk's answers is scraped, too."""


class Prometheus:
    """A running Prometheus over a directory of the test."""

    def __init__(self, directory: Path, targets: list[int]) -> None:
        self.port = free_port()
        rules = yaml.safe_load((TOP / "manifests/monitoring/rules.yaml").read_text())["spec"]
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule["for"] = "0s"  # how long it must last is tested with promtool
        (directory / "rules.yaml").write_text(yaml.safe_dump(rules))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "directpv", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}]}
            ],
        }
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        argv = (
            program("prometheus"),
            f"--config.file={directory}/prometheus.yaml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        self.log = directory / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path: str, **query: object) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from None
        except OSError as error:
            raise AssertionError(f"Prometheus does not answer: {error}\n{self.log.read_text()[-2000:]}") from None

    def shown(self, query: str, since: float) -> bool:
        """Tell whether a panel with that query shows a figure of the time since then."""
        data = self.ask("query_range", query=query, start=since, end=time.time(), step=1)
        return any(value != "NaN" for series in data["result"] for _, value in series["values"])

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == "firing"}


@contextlib.contextmanager
def prometheus(directory: Path, targets: list[int]) -> Iterator[Prometheus]:
    running = Prometheus(directory, targets)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Have each program of a stack serve metrics on a port of its own."""
    found: dict[str, int] = {}
    usual = stack.Stack._command

    def command(self: stack.Stack, name: str) -> tuple[list[str], dict[str, str]]:
        argv, env = usual(self, name)
        if name == "nats":
            return argv, env
        found.setdefault(name, free_port())
        return argv, {
            **env,
            "DIRECTPV_HTTP_HOST": "127.0.0.1",
            "DIRECTPV_METRICS_PORT": str(found[name]),
            **({"DIRECTPV_METRICS_INTERVAL": "1"} if name.startswith("nodeagent") else {}),
        }

    monkeypatch.setattr(stack.Stack, "_command", command)
    return found


@pytest.fixture
def running(ports: dict[str, int]) -> Iterator[Cluster]:
    with cluster(nodes=1, drives=2) as started:
        in_thread(lambda: asyncio.run(started.initialise()))
        yield started


def panels() -> list[tuple[str, str, str]]:
    """Return board, title and query of each panel."""
    found = []
    for path in sorted((TOP / "manifests/monitoring/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(path.stem, panel["title"], target["expr"]) for target in panel["targets"]]
    return found


async def test_every_panel_shows_data_and_alerts_of_a_pulled_drive_fire_and_resolve(
    running: Cluster, ports: dict[str, int], tmp_path: Path
) -> None:
    disk_port = free_port()
    server, thread = start_http_server(disk_port, "127.0.0.1", registry(1, 1))
    pod = await a_pod(running)
    drive = pod.volume.volume_context[DRIVE]
    try:
        with prometheus(tmp_path, [*ports.values(), disk_port]) as prom:
            begun = time.time()
            await eventually(lambda: _all_show(prom, drive, pod.target, begun), "every panel shows data")
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
    for board, title, query in panels():
        disk = f"00000000-0000-4000-8000-{0:012x}"
        chosen = {
            "$__rate_interval": "10s",
            "$node": ".*",
            "$drive": disk if OF_DISKS.search(query) else drive,
            "$volume": "pvc-1",
        }
        for name, value in chosen.items():
            query = query.replace(name, value)
        if not await asyncio.to_thread(prom.shown, query, since):
            dark.append(f"{board}, {title}: {query}")
    assert not dark, "\n".join(dark)


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
