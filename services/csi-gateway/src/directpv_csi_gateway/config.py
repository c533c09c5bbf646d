"""Settings of the CSI gateway."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from directpv_common.process.config import option
from directpv_common.protocol.subjects import DEFAULT_PREFIX, Subjects

_NODE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


class Mode(StrEnum):
    """Which services are answered, besides Identity."""

    CONTROLLER = "controller"
    NODE = "node"
    ALL = "all"


@dataclass(frozen=True)
class Config:
    """Answers CSI calls on a unix socket: translates each to one request on the bus, and keeps no state."""

    csi_socket: str = option("/csi/csi.sock", "path of the unix socket; 'unix://' before it is allowed")
    mode: Mode = option(Mode.ALL, "controller, node or all")  # noqa: RUF009 - an enum member is immutable
    node_name: str = option("", "name of this node; needed unless the mode is controller")
    nats_url: str = option("nats://127.0.0.1:4222", "NATS servers, comma-separated")
    nats_nkey: str = option("", "file with the seed of the key by which NATS knows us; empty: none")
    bus_secret: str = option(
        "", "file with the secret of the cluster's bus, for the mode controller: our key is made of it; empty: none"
    )
    bus_ca: str = option(
        "",
        "file with the certificates of the cluster's NATS servers, for the mode node: its own server must know them",
    )
    leaf_monitor_port: int = option(8222, "port of loopback on which the node's own NATS server tells of itself")
    subject_prefix: str = option(DEFAULT_PREFIX, "subject prefix of the installation")
    volume_condition: bool = option(
        False, "tell the health of volumes as CSI 1.12 has it, too (VOLUME_CONDITION): for kubelets up to 1.36"
    )
    drain_seconds: float = option(20.0, "how long running calls may go on after SIGTERM")
    http_host: str = option("", "address to serve metrics and probes on; empty: every address, IPv4 and IPv6")
    metrics_port: int = option(0, "port of /metrics, /ready and /healthz; 0: none")
    readiness_port: int = option(0, "second port for the same; 0: none")

    def __post_init__(self) -> None:
        Subjects(self.subject_prefix)
        if self.mode is not Mode.CONTROLLER and not self.node_name:
            raise ValueError("node_name: missing; give the name of this node, or use mode controller")
        if self.node_name and not _NODE_NAME.match(self.node_name):
            raise ValueError(f"node_name: {self.node_name!r} is no DNS-1123 subdomain; use the node's Kubernetes name")
        for name in ("metrics_port", "readiness_port", "leaf_monitor_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"{name}: use 1 to 65535, or 0 for none")
        if not 0 <= self.drain_seconds <= 3600:
            raise ValueError("drain_seconds: use 0 to 3600")

    @property
    def socket_path(self) -> str:
        """Path of the socket, without the scheme."""
        return self.csi_socket.removeprefix("unix://").removeprefix("unix:")
