"""Three servers of NATS, each as on a machine of its own: in a network namespace that can be cut off, with a disk."""

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from directpv_cli.install.objects.nats import PING

COUNT = 3
MIB = 1 << 20
DISK = 24 * MIB
"""Of the server whose disk can become full."""
SMALL = 2
"""Which one that is."""
READY_SECONDS = 20.0
PROGRAM = Path(sys.executable).with_name("nats-server")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Hub:
    """The servers; ``users`` is the block by which they know who comes."""

    def __init__(self, directory: Path, users: str) -> None:
        self._directory, self._users = directory, users
        self._tag, net = secrets.token_hex(3), f"10.231.{secrets.randbelow(200) + 20}"
        self._bridge, self._gateway = f"dpv{self._tag}", f"{net}.1"
        self.addresses = [f"{net}.{index + 11}" for index in range(COUNT)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._loop = ""

    @property
    def urls(self) -> str:
        return ",".join(f"nats://{address}:4222" for address in self.addresses)

    def _space(self, index: int) -> str:
        return f"dpv{self._tag}-{index}"

    def _port(self, index: int) -> str:
        return f"d{self._tag}-{index}"

    def _store(self, index: int) -> Path:
        return self._directory / f"store-{index}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Hub"]:
        """Make machines, disk and servers; nothing of them is left afterwards."""
        try:
            self._make_network()
            self._make_disk()
            for index in range(COUNT):
                self.start(index)
            for index in range(COUNT):
                self.until_healthy(index)
            yield self
        finally:
            for index in range(COUNT):
                self.kill(index)
            self._unmake()

    def _make_network(self) -> None:
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self._gateway}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        for index, address in enumerate(self.addresses):
            space, port = self._space(index), self._port(index)
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _run("ip", "link", "set", port, "master", self._bridge, "up")
            _run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
            _run("ip", "-n", space, "link", "set", "lo", "up")

    def _make_disk(self) -> None:
        image, store = self._directory / "disk", self._store(SMALL)
        with image.open("wb") as file:
            file.truncate(DISK)
        store.mkdir()
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image))
        self._loop = _run("losetup", "--find", "--show", str(image)).strip()
        _run("mount", "-t", "ext4", self._loop, str(store))

    def _unmake(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", str(self._store(SMALL)))
        if self._loop:
            _run("losetup", "--detach", self._loop)
        for index in range(COUNT):
            subprocess.run(("ip", "netns", "del", self._space(index)), check=False, capture_output=True)
        subprocess.run(("ip", "link", "del", self._bridge), check=False, capture_output=True)

    def _settings(self, index: int) -> str:
        routes = ", ".join(f"nats://{address}:6222" for address in self.addresses)
        store = json.dumps(str(self._store(index)))
        return (
            f"server_name: hub-{index}\nport: 4222\nhttp_port: 8222\n{PING}"
            f"jetstream {{ store_dir: {store}, max_memory_store: 64MiB, max_file_store: 1GiB }}\n"
            f"cluster {{ name: hub, port: 6222, no_advertise: true, routes: [{routes}] }}\n{self._users}"
        )

    # ---- what happens to servers

    def start(self, index: int) -> None:
        config = self._directory / f"hub-{index}.conf"
        config.write_text(self._settings(index))
        space = f"--net=/run/netns/{self._space(index)}"
        with (self._directory / f"hub-{index}.log").open("ab") as log:
            self._processes[index] = subprocess.Popen(
                ["nsenter", space, str(PROGRAM), "-c", str(config)], stdout=log, stderr=log
            )

    def kill(self, index: int) -> None:
        """End a server as a crash would."""
        process = self._processes.pop(index, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def cut(self, index: int) -> None:
        """Pull the cable of a server's machine."""
        _run("ip", "link", "set", self._port(index), "down")

    def heal(self, index: int) -> None:
        _run("ip", "link", "set", self._port(index), "up")

    def fill(self) -> None:
        """Let the small disk be full."""
        with (self._store(SMALL) / "filler").open("wb", buffering=0) as file:
            for size in (64 * 1024, 512):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def said(self, index: int) -> str:
        """Return what a server has logged."""
        return (self._directory / f"hub-{index}.log").read_text(errors="replace")

    def make_room(self) -> None:
        (self._store(SMALL) / "filler").unlink()

    def healthy(self, index: int) -> bool:
        """Ask as kubelet does."""
        url = f"http://{self.addresses[index]}:8222/healthz?js-enabled-only=true"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
        return False

    def until_healthy(self, index: int, *, healthy: bool = True) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self.healthy(index) is not healthy:
            assert time.monotonic() < deadline, f"server {index} is {'not ' if healthy else ''}well"
            time.sleep(0.1)
