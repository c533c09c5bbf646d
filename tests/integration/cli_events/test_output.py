"""A reader that goes, an output that is full, a kubeconfig that is none: one line at most, and never a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from support.nats import nats_server
from support.node_client import eventually

COUNT = 2_000
PLUGIN = Path(sys.executable).with_name("kubectl-directpv")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A bus with more events than a pipe holds."""
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as bus:
            await ensure_stream(bus)
            for number in range(COUNT):
                await bus.client.publish("directpv.v1.evt.n1.drive.added", _event(number))

            async def stored() -> bool:
                return (await bus.client.jetstream().stream_info(bus.subjects.stream)).state.messages == COUNT

            await eventually(stored, "all events are in the stream")
        yield server.url


def _event(number: int) -> bytes:
    told = {"id": str(number), "source": "/directpv/n1", "type": "drive.added", "subject": "d", "time": f"{number:06}"}
    return json.dumps({**told, "data": {"text": "x" * 500}}).encode()


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, "PLUGIN": str(PLUGIN), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("verb", ["events --since 1h -o json", "events --since 1h -o json --watch"])
def test_a_reader_that_has_enough_ends_events_without_a_word(url: str, verb: str) -> None:
    done = run(f"$PLUGIN --nats-url {url} {verb} | head -1")

    assert done.stdout.startswith('{"id": "0"')
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("verb", ["events --since 1h -o json", "install -o yaml --kube-version 1.37", "--help"])
def test_an_output_that_is_full_is_told_in_a_line_and_by_the_exit_status(url: str, verb: str) -> None:
    done = run(f"$PLUGIN --nats-url {url} {verb} > /dev/full")

    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    ["", "[", "5", "- a", "clusters: 7", "\x00", "current-context: a\ncontexts: [{name: a}]", "a: &b [*b]", "\xff"],
)
def test_a_malformed_kubeconfig_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_bytes(text.encode("latin-1"))

    done = run(f"$PLUGIN install --kubeconfig {file}")

    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kubeconfig_that_is_a_directory_is_refused_by_its_name(tmp_path: Path) -> None:
    done = run(f"$PLUGIN install --kubeconfig {tmp_path}")

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert str(tmp_path) in done.stderr
