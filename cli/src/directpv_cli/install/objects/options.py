"""What can be chosen at installation: as flags give it, and checked (:mod:`.parse` makes the one of the other)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from directpv_cli.install.objects.images import Images
from directpv_cli.install.objects.kube_version import NEWEST, KubeVersion
from directpv_common.protocol.subjects import DEFAULT_PREFIX

KUBELET_DIR: Final = "/var/lib/kubelet"

OnPredictedFailure = Literal["report", "cordon"]
OnOff = Literal["on", "off"]


@dataclass(frozen=True)
class _AsGiven:
    """Choices that flags give as objects need them: checked, but not changed."""

    apparmor_profile: str = ""
    seccomp_profile: str = ""
    openshift: bool = False
    kubelet_dir: str = KUBELET_DIR
    nats_url: str = ""
    """Of a NATS that is there already; empty: one is installed."""
    nats_leaf_url: str = ""
    """Where that NATS takes leaf nodes; empty: nodes talk to ``nats_url`` themselves."""
    nats_replicas: int = 3
    controller_replicas: int = 3
    subject_prefix: str = DEFAULT_PREFIX
    otlp_endpoint: str = ""
    """Where an OpenTelemetry collector takes traces over HTTP; empty: none are made."""


@dataclass(frozen=True)
class Options(_AsGiven):
    """One installation, all choices made; the defaults are those of a cluster of several nodes."""

    images: Images = field(default_factory=Images)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Nodes with drives: for the DaemonSet alone."""
    control_node_selector: Mapping[str, str] = field(default_factory=dict)
    """Nodes with the secret of the bus: for controllers and NATS' servers."""
    tolerations: Sequence[Mapping[str, str]] = field(default_factory=list)
    """For all pods: a taint that the drives' nodes have must not keep the controller off them."""
    pull_secrets: Sequence[Mapping[str, str]] = field(default_factory=list)
    kube_version: KubeVersion = NEWEST
    on_predicted_failure: OnPredictedFailure = "report"
    init_requests: OnOff = "on"
    """Whether DirectPVInitRequest objects, by which upstream's plugin formats devices, are honoured."""


@dataclass(frozen=True)
class Flags(_AsGiven):
    """The flags as they were given; :func:`.parse.parse` checks them."""

    node_selector: Sequence[str] = ()
    control_node_selector: Sequence[str] = ()
    tolerations: Sequence[str] = ()
    registry: str = ""
    org: str = ""
    image: str = ""
    sidecar_images: Sequence[str] = ()
    image_pull_secrets: Sequence[str] = ()
    kube_version: str = str(NEWEST)
    on_predicted_failure: str = "report"
    init_requests: str = "on"
