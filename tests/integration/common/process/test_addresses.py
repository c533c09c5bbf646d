"""Clusters have IPv4, IPv6 or both: probes, metrics and the bus are reached at whatever address a pod has."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.install.objects.nats import CLIENT_PORT, LEAF_PORT, MONITOR_PORT, server_config

IPV4, IPV6 = "10.77.99.5", "fd00:10:244::5"
FAMILIES = {
    "IPv4 alone": ("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip addr add 10.77.99.5/32 dev lo", (IPV4,)),
    "IPv6 alone": ("ip addr add fd00:10:244::5/128 dev lo nodad", (IPV6,)),
    "both": ("ip addr add 10.77.99.5/32 dev lo; ip addr add fd00:10:244::5/128 dev lo nodad", (IPV4, IPV6)),
}
PROGRAMS = {
    "directpv_controller": ("--metrics-port=10444", "--registry={0}/registry.db"),
    "directpv_csi_gateway": (
        "--metrics-port=10445",
        "--readiness-port=0",
        "--csi-socket={0}/csi.sock",
        "--node-name=n1",
    ),
    "directpv_nodeagent": (
        "--metrics-port=10443",
        "--readiness-port=30443",
        "--root={0}/root",
        "--devices=none",
        "--quota=best-effort",
        "--node-name=n1",
    ),
}
GET = "import sys, urllib.request as u; sys.exit(u.urlopen(sys.argv[1], timeout=2).status != 200)"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"


class Pod:
    """Networks with one kind of addresses, as a pod has; nothing leads out of it, and mounts end with it."""

    def __init__(self, setup: str) -> None:
        script = f"{{ ip link set lo up; {setup}; }} >&2 && echo ready && exec sleep 600"
        self.first = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-ec", script], stdout=subprocess.PIPE)
        self.running = [self.first]
        assert self.first.stdout is not None
        if self.first.stdout.readline() != b"ready\n":
            self.close()
            raise AssertionError("no network namespace")

    @property
    def enter(self) -> list[str]:
        of = f"/proc/{self.first.pid}"
        return ["nsenter", f"--net={of}/ns/net", f"--mount={of}/ns/mnt", f"--root={of}/root", f"--wd={of}/root"]

    def start(self, *command: str, log: Path) -> None:
        with log.open("ab") as sink:
            self.running.append(subprocess.Popen([*self.enter, *command], stdout=sink, stderr=sink))

    def until(self, *arguments: str) -> None:
        """Run Python in the pod until it succeeds."""
        end = time.monotonic() + 30
        while True:
            done = subprocess.run([*self.enter, sys.executable, *arguments], capture_output=True, text=True, timeout=20)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, f"{arguments[1:]}: {done.stderr[-300:]}"

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait(20)
        if self.first.stdout is not None:
            self.first.stdout.close()


@pytest.fixture(params=FAMILIES)
def pod(request: pytest.FixtureRequest) -> Iterator[tuple[Pod, list[str]]]:
    setup, addresses = FAMILIES[request.param]
    with contextlib.closing(Pod(setup)) as pod:
        yield pod, [f"[{address}]" if ":" in address else address for address in addresses]


def test_probes_and_metrics_answer_at_every_address(pod: tuple[Pod, list[str]], tmp_path: Path) -> None:
    inside, addresses = pod
    for module, flags in PROGRAMS.items():
        options = [flag.format(tmp_path) for flag in flags]
        inside.start(sys.executable, "-m", module, "--nats-url=nats://[::1]:1", *options, log=tmp_path / "log")

    for address in addresses:
        for port, path in ((10443, "metrics"), (30443, "healthz"), (10444, "healthz"), (10445, "healthz")):
            inside.until("-c", GET, f"http://{address}:{port}/{path}")


def test_the_servers_of_the_bus_answer_at_every_address(pod: tuple[Pod, list[str]], tmp_path: Path) -> None:
    inside, addresses = pod
    config = tmp_path / "nats.conf"
    config.write_text(server_config(1).replace("/data", str(tmp_path)))
    inside.start(str(Path(sys.executable).with_name("nats-server")), f"--config={config}", log=tmp_path / "log")

    for address in addresses:
        inside.until("-c", GET, f"http://{address}:{MONITOR_PORT}/healthz?js-enabled-only=true")
        for port in (CLIENT_PORT, LEAF_PORT):
            inside.until("-c", CONNECT, address.strip("[]"), str(port))
