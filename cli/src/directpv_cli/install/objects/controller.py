"""The Deployment ``controller``: one leads, the others stand by, on different nodes.

Gateway, csi-provisioner and csi-resizer talk over a socket in the pod's own memory: no folder of the host is used,
so two replicas on one node never meet. Nothing here runs as root.
"""

from typing import Any, Final

from directpv_cli.install.objects.base import NAMESPACE, SELECTOR, Object, disruption_budget, metadata
from directpv_cli.install.objects.containers import (
    SOCKET,
    SOCKET_DIR,
    confined,
    container,
    field_env,
    gateway,
    http_probe,
    mount,
    port,
    replicated,
    traces,
)
from directpv_cli.install.objects.nats import SECRET_DIR, SECRET_FILE, hub_url, own, secret_volume
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.rbac import CONTROLLER
from directpv_common.protocol.names import BUS_VOLUME, CREATED_BY, IMAGE_TAG

NAME: Final = "controller"
POD: Final = {SELECTOR: "controller-controller"}
"""Upstream's selector: a Deployment's cannot be changed."""
METRICS_PORT: Final = 10444
LEASE_SECONDS: Final = 10
"""Longer than on one machine: an API server that is slow for some seconds should not cost leadership."""
CALLS: Final = ("--kube-api-qps=100", "--kube-api-burst=200")
"""The sidecars' own limit of five calls a second would make a burst of claims wait for them, not for us."""
CAPACITY_CALLS: Final = ("--kube-api-capacity-qps=20", "--kube-api-capacity-burst=40")
"""The provisioner's own, one a second, would take minutes for what a hundred nodes have for three classes."""
CAPACITY_THREADS: Final = "--capacity-threads=8"
"""It asks us once per node and class. With one thread, its own choice, each waits for the one before; the leader
answers from memory, so that a few at a time cost it nothing."""


def _controller(options: Options) -> Object:
    return container(
        "controller",
        options.images.driver,
        command=["directpv-controller"],
        args=controller_args(options),
        ports=[port("metrics", METRICS_PORT)],
        env=[
            field_env("POD_NAME", "metadata.name"),
            field_env("POD_NAMESPACE", "metadata.namespace"),
            *traces(options),
        ],
        readinessProbe=http_probe("/ready", "metrics"),
        livenessProbe=http_probe("/healthz", "metrics"),
        startupProbe=http_probe("/healthz", "metrics", period=2, failures=60),
        volumeMounts=[
            mount("tmp", "/tmp"),  # noqa: S108 - a folder of the pod's own
            *([mount(BUS_VOLUME, SECRET_DIR, readOnly=True)] if own(options) else []),
        ],
        security=confined(),
        cpu="50m",
        memory="128Mi",
    )


def controller_args(options: Options) -> list[str]:
    """Return the flags of our controller."""
    return [
        "--registry=kubernetes",
        f"--nats-url={hub_url(options)}",
        f"--subject-prefix={options.subject_prefix}",
        f"--namespace={NAMESPACE}",
        f"--on-predicted-failure={options.on_predicted_failure}",
        f"--init-requests={options.init_requests}",
        f"--metrics-port={METRICS_PORT}",
        f"--lease-seconds={LEASE_SECONDS}",
        *([f"--bus-secret={SECRET_FILE}"] if own(options) else []),
    ]


def _provisioner(options: Options) -> Object:
    flags = [
        "--feature-gates=Topology=true",
        "--strict-topology",
        "--extra-create-metadata",
        "--enable-capacity",
        "--capacity-ownerref-level=2",
        "--default-fstype=xfs",
        "--retry-interval-max=1m",
        *CALLS,
        *CAPACITY_CALLS,
        CAPACITY_THREADS,
    ]
    env = [field_env("NAMESPACE", "metadata.namespace"), field_env("POD_NAME", "metadata.name")]
    return _sidecar(options, "csi-provisioner", flags, env=env)


def _resizer(options: Options) -> Object:
    return _sidecar(options, "csi-resizer", ["--handle-volume-inuse-error=false", *CALLS])


def _sidecar(options: Options, name: str, flags: list[str], **more: Any) -> Object:
    return container(
        name,
        options.images.sidecars[name],
        args=["--v=3", "--timeout=300s", f"--csi-address={SOCKET}", "--leader-election", *flags],
        **more,
        volumeMounts=[mount("socket-dir", SOCKET_DIR)],
        security=confined(),
        cpu="10m",
        memory="32Mi",
    )


def deployment(options: Options) -> Object:
    """Return the Deployment."""
    secret = SECRET_FILE if own(options) else ""
    containers = [
        gateway(  # first, as on nodes
            options,
            "controller",
            hub_url(options),
            security=confined(),
            bus_secret=secret,
            env=[field_env("POD_NAME", "metadata.name")],
        ),
        _controller(options),
        _provisioner(options),
        _resizer(options),
    ]
    volumes: list[Object] = [{"name": "socket-dir", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    volumes += [secret_volume()] if own(options) else []
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME, annotations={IMAGE_TAG: options.images.tag}),
        "spec": {
            "replicas": options.controller_replicas,
            "selector": {"matchLabels": POD},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": POD, "annotations": {CREATED_BY: "kubectl-directpv"}},
                "spec": replicated(options, CONTROLLER, POD, containers, volumes, token=True),
            },
        },
    }


def objects(options: Options) -> list[Object]:
    """Return all objects of the controller."""
    return [deployment(options), disruption_budget(NAME, POD, options)]
