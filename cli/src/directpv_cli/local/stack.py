"""A stack on one machine, as its directory keeps it, and the programs that it consists of.

They are nats-server, controllers, and per simulated node an agent and a CSI gateway.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Final

import msgspec

from directpv_cli.local import keys
from directpv_cli.local.machine import processes
from directpv_cli.local.machine.processes import MARK, Process
from directpv_cli.reaching.local_stack import FILE
from directpv_common.protocol.units import MIB

NATS_CONFIG: Final = "nats.conf"
HEARTBEAT_SECONDS: Final = 0.5
REBUILD_SECONDS: Final = 1.5
"""Nodes of one machine are heard within a few heartbeats: the first init need not wait as in a cluster."""


class StackError(Exception):
    """The stack cannot be started or stopped; the text says why, and what to do."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to start."""

    directory: str
    nodes: int = 1
    drives: int = 4
    """Per node."""
    drive_size: int = 1024 * MIB
    nats_port: int = 4222
    """0: a free one."""
    controllers: int = 1
    lease: float = 3.0
    """Seconds of leadership without renewal."""


class NodeStack(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated node."""

    name: str
    devices: tuple[str, ...]
    root: str
    csi_socket: str


class Stack(msgspec.Struct, kw_only=True):
    """A running stack, as kept in ``stack.json``."""

    options: Options
    nats_url: str = ""
    quota: str = ""
    """``required`` or ``best-effort``."""
    nodes: list[NodeStack] = []
    running: list[Process] = []

    @property
    def directory(self) -> Path:
        """Where everything is."""
        return Path(self.options.directory)

    @property
    def bus_name(self) -> str:
        """How its NATS server calls itself; no other stack's does."""
        return f"directpv-{hashlib.sha256(self.options.directory.encode()).hexdigest()[:16]}"

    def save(self) -> None:
        """Write ``stack.json``, whole or not at all."""
        temporary = self.directory / f"{FILE}.new"
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        temporary.rename(self.directory / FILE)

    def process(self, name: str) -> Process:
        """Return the process called ``name``."""
        return next(process for process in self.running if process.name == name)

    def runs(self, name: str) -> bool:
        """Tell whether the process called ``name`` was started and has not ended."""
        return any(process.alive for process in self.running if process.name == name)

    def start(self, name: str) -> Process:
        """Start the service ``name`` (again), with the settings of this stack."""
        argv, env = self._command(name)
        log = self.directory / "logs" / f"{name}.log"
        process = processes.start(name, argv, env={**env, MARK: str(self.directory)}, log=log)
        self.running = [other for other in self.running if other.name != name] + [process]
        self.save()
        return process

    def services(self) -> list[str]:
        """Return the names of all services, in the order in which they start."""
        controllers = [f"controller-{index}" for index in range(1, self.options.controllers + 1)]
        nodes = [f"{kind}-{node.name}" for node in self.nodes for kind in ("nodeagent", "gateway")]
        return ["nats", *controllers, *nodes]

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        kind, _, rest = name.partition("-")
        user = keys.CONTROLLER if kind == "controller" else name
        common = {"DIRECTPV_NATS_URL": self.nats_url, "DIRECTPV_NATS_NKEY": str(keys.key_file(self.directory, user))}
        if kind == "nats":
            return self._nats(), {}
        if kind == "controller":
            settings = {
                "DIRECTPV_REGISTRY": str(self.directory / "registry" / "registry.db"),
                "DIRECTPV_LEASE_SECONDS": str(self.options.lease),
                "DIRECTPV_REBUILD_SECONDS": str(REBUILD_SECONDS),
                "DIRECTPV_METRICS_PORT": "0",
            }
            return [sys.executable, "-m", "directpv_controller"], {**common, **settings}
        node = next(node for node in self.nodes if node.name == rest)
        if kind == "gateway":
            settings = {"DIRECTPV_CSI_SOCKET": node.csi_socket, "DIRECTPV_NODE_NAME": node.name, "DIRECTPV_MODE": "all"}
            return [sys.executable, "-m", "directpv_csi_gateway"], {**common, **settings}
        settings = {
            "DIRECTPV_NODE_NAME": node.name,
            "DIRECTPV_ROOT": node.root,
            "DIRECTPV_DEVICES": ",".join(node.devices),
            "DIRECTPV_QUOTA": self.quota,
            "DIRECTPV_METRICS_PORT": "0",
            "DIRECTPV_READINESS_PORT": "0",
            "DIRECTPV_HEARTBEAT_INTERVAL": str(HEARTBEAT_SECONDS),
        }
        return [sys.executable, "-m", "directpv_nodeagent"], {**common, **settings}

    def _nats(self) -> list[str]:
        program = Path(sys.executable).with_name("nats-server")
        return [str(program), "--config", str(self.directory / NATS_CONFIG)]

    def configure_nats(self) -> None:
        """Make keys for everybody who speaks on the bus, and write nats-server's configuration."""
        users = keys.make(self.directory, (node.name for node in self.nodes))
        where = json.dumps(self.nats_url.removeprefix("nats://"))
        store = json.dumps(str(self.directory / "nats"))
        text = f"listen: {where}\nserver_name: {self.bus_name}\njetstream {{ store_dir: {store} }}\n{users}"
        (self.directory / NATS_CONFIG).write_text(text)
        keys.publish(self.directory, self.nats_url)


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a stack's bus."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    return host, int(port)


def load(directory: Path) -> Stack:
    """Return the stack in ``directory``.

    Raises:
        StackError: There is none, or its file cannot be read.
    """
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Stack)
    except FileNotFoundError:
        raise StackError(f"no stack in {directory}; `directpv up` starts one") from None
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(f"{directory / FILE}: {error}") from error
