"""Settings of the node agent: flags, environment variables and documentation at once."""

import os
import socket
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from directpv_common.process.config import option
from directpv_common.protocol.messages import NodeName, Segments
from directpv_common.protocol.names import DRIVER_NAME, IDENTITY, NODE, RACK, REGION, ROOT_DIR, ZONE
from directpv_common.protocol.subjects import DEFAULT_PREFIX

_HOSTNAME: Final = socket.gethostname().lower()


@dataclass(frozen=True)
class Config:
    """Node agent of DirectPV: probes, formats, mounts and watches the drives of one node."""

    node_name: NodeName = option(_HOSTNAME, "name of this node, as Kubernetes knows it")  # noqa: RUF009 - immutable
    root: str = option(ROOT_DIR, "directory below which drives are mounted")
    nats_url: str = option("nats://127.0.0.1:4222", "comma-separated URLs of NATS servers")
    nats_nkey: str = option("", "file with the seed of the key by which NATS knows us; empty: none")
    bus_key: str = option("", "file with the key of this node's own NATS server, in a cluster that asks for it")
    bus_token: str = option("", "file with the token of Kubernetes by which that key is registered")
    hub_url: str = option("", "comma-separated URLs of the cluster's NATS servers, where it is registered")
    bus_ca: str = option("", "file with the certificates of those servers' authority; empty: they have no TLS")
    leaf_monitor_port: int = option(8222, "port of loopback on which this node's own NATS server tells of itself")
    subject_prefix: str = option(DEFAULT_PREFIX, "subject prefix of the installation")
    devices: tuple[str, ...] = option(
        ("*",), "kernel names that may be touched, as shell patterns, such as nvme*; loop devices only if named"
    )
    quota: Literal["required", "best-effort"] = option(
        "required",
        "best-effort: serve volumes without limits if the kernel has no XFS project quota; no production use",
    )
    zone: str = option("default", "topology: zone")
    rack: str = option("default", "topology: rack")
    region: str = option("default", "topology: region")
    http_host: str = option("", "address of metrics and probes; empty: every address, IPv4 and IPv6")
    metrics_port: int = option(10443, "port of Prometheus metrics; 0: none")
    readiness_port: int = option(30443, "port of /ready and /healthz; 0: none")
    device_events: Literal["on", "off"] = option(
        "on", "off: do not listen to the kernel's device events; changes are noticed at the next scan"
    )
    scan_interval: float = option(30.0, "seconds between scans of all devices, beside those that events cause")
    heartbeat_interval: float = option(5.0, "seconds between heartbeats, beside those that changes cause")
    metrics_interval: float = option(15.0, "seconds between samples")
    repair_timeout: float = option(48 * 3600.0, "seconds that xfs_repair may run on a drive until it is ended")
    health_interval: float = option(600.0, "seconds between questions to a disk about its health (SMART); 0: none")

    def __post_init__(self) -> None:
        try:
            msgspec.convert(self.node_name, NodeName)
        except msgspec.ValidationError as error:
            raise ValueError(f"--node-name {self.node_name!r}: not a node name as Kubernetes has them") from error
        if bool(self.bus_key) != bool(self.bus_token) or bool(self.bus_key) != bool(self.hub_url):
            raise ValueError("--bus-key, --bus-token and --hub-url: give all of them, or none")
        if not os.path.isabs(self.root):
            raise ValueError(f"--root {self.root!r} must be an absolute path")
        for name in ("scan_interval", "heartbeat_interval", "metrics_interval", "repair_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name.replace('_', '-')} must be more than 0 seconds")
        if not self.health_interval >= 0:
            raise ValueError("--health-interval must be 0 seconds or more")
        for name in ("metrics_port", "readiness_port", "leaf_monitor_port"):
            if not 0 <= getattr(self, name) < 65536:
                raise ValueError(f"--{name.replace('_', '-')} must be between 0 and 65535")

    @property
    def topology(self) -> Segments:
        """The five topology keys of this node."""
        return {
            IDENTITY: DRIVER_NAME,
            RACK: self.rack,
            ZONE: self.zone,
            REGION: self.region,
            NODE: self.node_name,
        }
