"""Settings of the controller."""

from dataclasses import dataclass
from typing import Final, Literal

from directpv_common.process.config import option
from directpv_common.protocol.names import ROOT_DIR
from directpv_common.protocol.subjects import DEFAULT_PREFIX

KUBERNETES: Final = "kubernetes"
"""Setting of ``registry`` that means custom resources; any other is a file."""


@dataclass(frozen=True)
class Config:
    """Places volumes on drives and keeps the registry; one of several processes leads, the others stand by."""

    nats_url: str = option("nats://127.0.0.1:4222", "NATS servers, comma-separated")
    nats_nkey: str = option("", "file with the seed of the key by which NATS knows us; empty: none")
    bus_secret: str = option(
        "",
        "file with the secret of this installation's bus: NATS knows us by a key that is made of it, and asks us about "
        "everybody else (registry kubernetes only); empty: none",
    )
    subject_prefix: str = option(DEFAULT_PREFIX, "prefix of all subjects of this installation")
    registry: str = option(f"{ROOT_DIR}/registry.db", "file of the registry, made if it is missing; or kubernetes")
    kubeconfig: str = option("", "file that says where the API server is; none: the pod's service account")
    namespace: str = option("directpv", "namespace of the lease by which controllers elect their leader")
    init_requests: Literal["on", "off"] = option(
        "on", "off: DirectPVInitRequests are left alone; with on, whoever may create one can format devices"
    )
    lease_seconds: float = option(
        3.0, "a leader that is silent for so many seconds is replaced; whole ones if the registry is kubernetes"
    )
    rebuild_seconds: float = option(
        7.0,
        "with a new registry, new volumes wait so many seconds for nodes to report their drives; more than a heartbeat",
    )
    online_seconds: float = option(
        15.0,
        "a node that was not heard for so many seconds, or does not answer a new leader, is offline and gets no new "
        "volumes; 0: all nodes are taken to be there",
    )
    on_predicted_failure: Literal["report", "cordon"] = option(
        "report", "cordon: a drive whose disk expects to fail takes no new volumes, until a person uncordons it"
    )
    metrics_port: int = option(10444, "port of /metrics, /ready and /healthz; 0: none")
    http_host: str = option("", "address to serve metrics and probes on; empty: every address, IPv4 and IPv6")

    def __post_init__(self) -> None:
        if self.bus_secret and self.registry != KUBERNETES:
            raise ValueError("bus-secret needs the registry kubernetes: nobody else could say who somebody is")
        if not 0.5 <= self.lease_seconds <= 300:
            raise ValueError("lease-seconds must be between 0.5 and 300")
        if self.rebuild_seconds < 0 or self.online_seconds < 0:
            raise ValueError("rebuild-seconds and online-seconds must not be negative")
        if not 0 <= self.metrics_port <= 65535:
            raise ValueError("metrics-port must be between 0 and 65535")
