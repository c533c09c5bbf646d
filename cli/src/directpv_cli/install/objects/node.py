"""The DaemonSet ``node-server``: agent, gateway and leaf server of each node, and the sidecars that kubelet needs.

Only the agent is privileged: it mounts drives where kubelet and the host see them. The others run as root without any
capability, because the socket's folder is the host's.
"""

from typing import Final

from directpv_cli.install.objects.base import SELECTOR, Object, metadata
from directpv_cli.install.objects.containers import (
    LINUX,
    SOCKET,
    SOCKET_DIR,
    app_armor,
    app_armor_annotations,
    confined,
    container,
    field_env,
    gateway,
    http_probe,
    mount,
    pod_security,
    port,
    traces,
)
from directpv_cli.install.objects.nats import (
    CA_DIR,
    CA_FILE,
    CONFIG_HASH,
    KEY_DIR,
    KEY_FILE,
    LEAF,
    LEAF_CONFIG,
    LEAF_MONITOR_PORT,
    ca_volume,
    config_hash,
    hub_url,
    leaf_container,
    leaf_url,
    node_url,
    own,
    run_volume,
)
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.rbac import NODE as ACCOUNT
from directpv_common.protocol.names import (
    BUS_AUDIENCE,
    BUS_CA_VOLUME,
    BUS_VOLUME,
    CREATED_BY,
    DRIVER_NAME,
    IMAGE_TAG,
    ROOT_DIR,
)

NAME: Final = "node-server"
POD: Final = {SELECTOR: f"{DRIVER_NAME}-node-server"}
"""Upstream's selector: a DaemonSet's cannot be changed."""
STAY: Final = {"operator": "Exists", "effect": "NoExecute"}
"""An agent evicted together with the workloads could not unmount for them: their pods would never be gone.

Taints of the node's condition, and that of a cordon, the DaemonSet controller has tolerated by itself.
"""
LEGACY_DIR: Final = "/var/lib/direct-csi"
METRICS_PORT: Final = 10443
READINESS_PORT: Final = 30443
PROBE_PORT: Final = 9898
TOKEN_DIR: Final = "/var/run/secrets/directpv"  # noqa: S105 - a folder
TOKEN_SECONDS: Final = 3600
"""Kubelet renews it before."""
SCAN_SECONDS: Final = 1800
"""The agent looks at all devices before it serves; a node with many slow ones is not restarted over that."""


def _node_env() -> Object:
    return field_env("KUBE_NODE_NAME", "spec.nodeName")


def _agent(options: Options) -> Object:
    seccomp = (
        {"type": "Localhost", "localhostProfile": options.seccomp_profile}
        if options.seccomp_profile
        else {"type": "Unconfined"}
    )
    return container(
        "agent",
        options.images.driver,
        command=["directpv-nodeagent"],
        args=agent_args(options),
        env=[_node_env(), *traces(options)],
        ports=[port("metrics", METRICS_PORT), port("readinessport", READINESS_PORT)],
        readinessProbe=http_probe("/ready", "readinessport"),
        livenessProbe=http_probe("/healthz", "readinessport"),
        startupProbe=http_probe("/healthz", "readinessport", period=5, failures=SCAN_SECONDS // 5),
        volumeMounts=_agent_mounts(options),
        terminationMessagePath="/var/log/termination-log",  # its /dev is the host's, read-only
        security={
            "privileged": True,
            "readOnlyRootFilesystem": True,
            "seccompProfile": seccomp,
            **app_armor(options),
        },
        cpu="50m",
        memory="128Mi",
    )


def agent_args(options: Options) -> list[str]:
    """Return the flags of the node agent."""
    return [
        "--node-name=$(KUBE_NODE_NAME)",
        f"--root={ROOT_DIR}",
        f"--nats-url={node_url(options)}",
        f"--subject-prefix={options.subject_prefix}",
        f"--metrics-port={METRICS_PORT}",
        f"--readiness-port={READINESS_PORT}",
        *(_joining(options) if own(options) else []),
    ]


def _joining(options: Options) -> list[str]:
    return [
        f"--bus-key={KEY_FILE}",
        f"--bus-token={TOKEN_DIR}/token",
        f"--hub-url={hub_url(options)}",
        f"--bus-ca={CA_FILE}",
        f"--leaf-monitor-port={LEAF_MONITOR_PORT}",
    ]


def _agent_mounts(options: Options) -> list[Object]:
    both, inwards = {"mountPropagation": "Bidirectional"}, {"mountPropagation": "HostToContainer"}
    return [
        mount("mountpoint-dir", f"{options.kubelet_dir}/pods", **both),
        mount("plugins-dir", f"{options.kubelet_dir}/plugins", **both),
        mount("directpv-common-root", ROOT_DIR, **both),
        mount("direct-csi-common-root", LEGACY_DIR, **both),
        mount("sysfs", "/sys", **inwards),
        mount("devfs", "/dev", readOnly=True, **inwards),
        mount("run-udev-data-dir", "/run/udev/data", readOnly=True, **inwards),
        mount("tmp", "/tmp"),  # noqa: S108 - a folder of the pod's own
        *(_bus_mounts() if own(options) else []),
    ]


def _bus_mounts() -> list[Object]:
    return [mount(BUS_VOLUME, TOKEN_DIR, readOnly=True), mount(BUS_CA_VOLUME, CA_DIR, readOnly=True)]


def _registrar(options: Options, security: Object) -> Object:
    return container(
        "node-driver-registrar",
        options.images.sidecars["csi-node-driver-registrar"],
        args=[
            "--v=3",
            f"--csi-address={SOCKET}",
            f"--kubelet-registration-path={options.kubelet_dir}/plugins/{DRIVER_NAME}/csi.sock",
        ],
        env=[_node_env()],
        volumeMounts=[mount("socket-dir", SOCKET_DIR), mount("registration-dir", "/registration")],
        security=security,
        cpu="5m",
        memory="16Mi",
    )


def _liveness_probe(options: Options, security: Object) -> Object:
    """Ask the gateway over its socket. What it answers makes the gateway ready or not, and never restarts it."""
    return container(
        "liveness-probe",
        options.images.sidecars["livenessprobe"],
        args=["--v=3", f"--csi-address={SOCKET}", f"--health-port={PROBE_PORT}"],
        ports=[port("healthz", PROBE_PORT)],
        volumeMounts=[mount("socket-dir", SOCKET_DIR)],
        security=security,
        cpu="5m",
        memory="16Mi",
    )


def _containers(options: Options) -> list[Object]:
    armor = app_armor(options)
    on_socket = {**confined(host_socket=True), **armor}
    server = gateway(
        options,
        "node",
        node_url(options),
        security=on_socket,
        env=[_node_env()],
        readinessProbe=http_probe("/healthz", PROBE_PORT),
    )
    if own(options):
        server["args"] += [f"--bus-ca={CA_FILE}", f"--leaf-monitor-port={LEAF_MONITOR_PORT}"]
        server["volumeMounts"].append(mount(BUS_CA_VOLUME, CA_DIR, readOnly=True))
    keeper = on_socket if own(options) else {**confined(), **armor}  # its key is in a folder of the host
    leaf = [leaf_container(options, keeper)] if leaf_url(options) else []
    return [
        server,  # first: the sidecars end when there is no socket for long
        *leaf,
        _agent(options),
        _registrar(options, on_socket),
        _liveness_probe(options, on_socket),
    ]


def _host_path(name: str, path: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}


def _volumes(options: Options) -> list[Object]:
    kubelet = options.kubelet_dir
    config = [{"name": "nats-config", "configMap": {"name": LEAF}}] if leaf_url(options) else []
    return [
        _host_path("socket-dir", f"{kubelet}/plugins/{DRIVER_NAME}"),
        _host_path("mountpoint-dir", f"{kubelet}/pods"),
        _host_path("registration-dir", f"{kubelet}/plugins_registry"),
        _host_path("plugins-dir", f"{kubelet}/plugins"),
        _host_path("directpv-common-root", ROOT_DIR),
        _host_path("direct-csi-common-root", LEGACY_DIR),
        _host_path("sysfs", "/sys"),
        _host_path("devfs", "/dev"),
        _host_path("run-udev-data-dir", "/run/udev/data"),
        {"name": "tmp", "emptyDir": {}},
        *config,
        *([_host_path("bus-key", KEY_DIR), _token_volume(), run_volume(), ca_volume()] if own(options) else []),
    ]


def _token_volume() -> Object:
    """Return the volume with the token by which a node shows who it is: bound to its pod, and good for NATS alone."""
    token = {"path": "token", "audience": BUS_AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
    return {"name": BUS_VOLUME, "projected": {"defaultMode": 0o400, "sources": [{"serviceAccountToken": token}]}}


def daemon_set(options: Options) -> Object:
    """Return the DaemonSet. A restart of its pods leaves every mount where it is."""
    containers = _containers(options)
    labels = {**POD, f"{SELECTOR}.service": "enabled"}
    hashed = {CONFIG_HASH: config_hash(LEAF_CONFIG)} if leaf_url(options) else {}
    annotations = {CREATED_BY: "kubectl-directpv", **hashed, **app_armor_annotations(options, containers)}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(NAME, annotations={IMAGE_TAG: options.images.tag}),
        "spec": {
            "selector": {"matchLabels": POD},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {
                    "serviceAccountName": ACCOUNT,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "hostPID": True,
                    "priorityClassName": "system-node-critical",
                    "nodeSelector": {**options.node_selector, **LINUX},
                    "tolerations": [*options.tolerations, STAY],
                    "imagePullSecrets": options.pull_secrets,
                    "securityContext": pod_security(0),
                    "terminationGracePeriodSeconds": 30,
                    "containers": containers,
                    "volumes": _volumes(options),
                },
            },
        },
    }
