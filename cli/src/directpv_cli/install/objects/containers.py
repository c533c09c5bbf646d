"""Parts of pods: containers, what they may do, how they are probed."""

from collections.abc import Sequence
from typing import Any, Final

from directpv_cli.install.objects.base import VOLUME_HEALTH, Object
from directpv_cli.install.objects.kube_version import KubeVersion
from directpv_cli.install.objects.options import Options
from directpv_common.protocol.names import BUS_VOLUME

USER: Final = 65532
"""``nonroot`` in the images of the sidecars; any id but 0 would do."""
SOCKET_DIR: Final = "/csi"
SOCKET: Final = f"{SOCKET_DIR}/csi.sock"
VOLUME_CONDITION: Final = "--volume-condition"
GATEWAY_PORT: Final = 10445
"""Metrics and probes of the CSI gateway."""
LINUX: Final = {"kubernetes.io/os": "linux"}
"""Nodes that can run our images: of every pod, for clusters that have nodes with Windows, too."""
APP_ARMOR_FIELD: Final = KubeVersion(1, 30)
"""The first version with the field; before, an annotation."""
APP_ARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io"
SPC: Final = {"level": "s0", "type": "spc_t"}
"""SELinux: what lets an unprivileged container use a socket in a folder of the host. No effect without SELinux."""


def container(
    name: str, image: str, *, args: Sequence[str], security: Object, cpu: str, memory: str, **more: Any
) -> Object:
    """Return a container; what it says last is shown by ``kubectl describe`` when it fails."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        **({"command": more.pop("command")} if "command" in more else {}),
        "args": list(args),
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
        "securityContext": security,
        "terminationMessagePath": "/dev/termination-log",  # where the official sidecars leave their last words
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **more,
    }


def confined(*, host_socket: bool = False) -> Object:
    """Return the rights of a container that needs none; ``host_socket``: it uses a socket in a folder of the host."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        **({"seLinuxOptions": dict(SPC)} if host_socket else {}),
    }


def pod_security(user: int) -> Object:
    """Return the settings of a pod whose containers run as ``user``."""
    ids = {"runAsUser": user, "runAsGroup": user, "fsGroup": user, "runAsNonRoot": True} if user else {"runAsUser": 0}
    return {**ids, "seccompProfile": {"type": "RuntimeDefault"}}


def app_armor(options: Options) -> Object:
    """Return what ``--apparmor-profile`` adds to the security context of each of the node's containers."""
    if not options.apparmor_profile or options.kube_version < APP_ARMOR_FIELD:
        return {}
    return {"appArmorProfile": {"type": "Localhost", "localhostProfile": options.apparmor_profile}}


def app_armor_annotations(options: Options, containers: Sequence[Object]) -> dict[str, str]:
    """Return the same for a cluster that is too old for the field."""
    if not options.apparmor_profile or options.kube_version >= APP_ARMOR_FIELD:
        return {}
    return {f"{APP_ARMOR_ANNOTATION}/{each['name']}": f"localhost/{options.apparmor_profile}" for each in containers}


def port(name: str, number: int) -> Object:
    """Return a named TCP port."""
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def http_probe(path: str, port: str | int, *, period: int = 10, failures: int = 5, timeout: int = 10) -> Object:
    """Return a probe by HTTP; ``period`` and ``timeout`` are seconds.

    ``port``: one of the container's, by name, or any of its pod.
    """
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def field_env(name: str, path: str) -> Object:
    """Return an environment variable with a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def mount(name: str, path: str, **more: Any) -> Object:
    """Return a mount of the volume ``name``."""
    return {"name": name, "mountPath": path, **more}


def spread(selector: dict[str, str]) -> Object:
    """Keep the pods of ``selector`` on different nodes where that is possible; never leave one Pending for it."""
    term = {"labelSelector": {"matchLabels": selector}, "topologyKey": "kubernetes.io/hostname"}
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }


def replicated(
    options: Options,
    account: str,
    selector: dict[str, str],
    containers: list[Object],
    volumes: list[Object],
    *,
    token: bool,
) -> Object:
    """Return what a pod is of which several run, each on a node of its own if possible: nothing of it is the host's.

    ``token``: whether it talks to the API server, as ``account``.
    """
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {**options.control_node_selector, **LINUX},
        "affinity": spread(selector),
        "tolerations": options.tolerations,
        "imagePullSecrets": options.pull_secrets,
        "securityContext": pod_security(USER),
        "terminationGracePeriodSeconds": 30,
        "containers": containers,
        "volumes": volumes,
    }


def traces(options: Options) -> list[Object]:
    """Return the environment by which a service of ours sends traces; source: OpenTelemetry, OTLP exporter."""
    endpoint = options.otlp_endpoint
    return [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint}] if endpoint else []


def gateway(
    options: Options,
    mode: str,
    nats_url: str,
    *,
    security: Object,
    bus_secret: str = "",
    env: Sequence[Object] = (),
    **more: Any,
) -> Object:
    """Return the CSI gateway; ``bus_secret`` is the file with the secret of the bus, if it needs a key.

    Liveness is the gateway's own event loop, never the state of the bus: a restart mends no bus, and would cut
    running calls.
    """
    node = ["--node-name=$(KUBE_NODE_NAME)"] if mode == "node" else []
    secret = [f"--bus-secret={bus_secret}"] if bus_secret else []
    mounts = [mount(BUS_VOLUME, bus_secret.rpartition("/")[0], readOnly=True)] if bus_secret else []
    return container(
        "gateway",
        options.images.driver,
        command=["directpv-csi-gateway"],
        args=[
            f"--mode={mode}",
            f"--csi-socket={SOCKET}",
            *node,
            f"--nats-url={nats_url}",
            f"--subject-prefix={options.subject_prefix}",
            f"--metrics-port={GATEWAY_PORT}",
            *([VOLUME_CONDITION] if options.kube_version < VOLUME_HEALTH else []),
            *secret,
        ],
        ports=[port("gateway", GATEWAY_PORT)],
        env=[*env, *traces(options)],
        livenessProbe=http_probe("/healthz", "gateway"),
        startupProbe=http_probe("/healthz", "gateway", period=2, failures=60),
        volumeMounts=[
            mount("socket-dir", SOCKET_DIR),
            mount("tmp", "/tmp"),  # noqa: S108 - a folder of the pod's own
            *mounts,
        ],
        security=security,
        cpu="20m",
        memory="64Mi",
        **more,
    )
