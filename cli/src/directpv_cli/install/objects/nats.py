"""NATS in the cluster: three servers with JetStream, and a leaf server in each node's pod.

Agent and gateway of a node talk through the node's own leaf, so that they find each other whatever happens to the
three. Nothing that must not be lost lives in NATS: the store holds events, in the pods' own space. The three need no
volume of any class, hence none of ours.

Source: NATS documentation, "Clustering", "Leaf Nodes", "Monitoring", "Configuration: Variables".
"""

import hashlib
from typing import Final

from directpv_cli.install.objects.base import NAMESPACE, SELECTOR, Object, disruption_budget, metadata
from directpv_cli.install.objects.containers import (
    GATEWAY_PORT,
    confined,
    container,
    field_env,
    http_probe,
    mount,
    port,
    replicated,
)
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.rbac import NATS as ACCOUNT
from directpv_common.protocol.names import (
    BUS_CA,
    BUS_CA_KEY,
    BUS_CA_VOLUME,
    BUS_TLS_PORT,
    BUS_VOLUME,
    CREATED_BY,
    GROUP,
    NATS_POD,
    ROOT_DIR,
)

NAME: Final = "nats"
SERVERS: Final = 3
"""At most."""
HEADLESS: Final = "nats-headless"
LEAF: Final = "nats-leaf"
POD: Final = {SELECTOR: NATS_POD}
CLIENT_PORT: Final = 4222
LEAF_PORT: Final = 7422
"""For leafs of the version before, without TLS; NATS has it for all that come by this port, or for none."""
TLS_LEAF_PORT: Final = 7443
"""For the others, which come as websockets."""
ROUTE_PORT: Final = 6222
MONITOR_PORT: Final = 8222
AFTER_CONTROLLERS: Final = {f"{GROUP}/goes-in": "after-controllers"}
"""Label of the servers alone, for who applies objects himself: ``kubectl apply -l '!…/goes-in'`` leaves them out."""
SECRET_HASH: Final = f"{GROUP}/bus-secret-hash"
"""Annotation of pods that read the secret when they start; ``install`` writes it."""
CONFIG_HASH: Final = f"{GROUP}/config-hash"
STORE: Final = "1Gi"
LOCAL_URL: Final = f"nats://127.0.0.1:{CLIENT_PORT}"

# What shows who a server is, directpv-nats adds to these when it starts: pods of the version before read the same maps.
PING: Final = """\
# A server whose machine lost its power says nothing any more: noticed after 9 s, not after four minutes.
# Before the nodes behind it count as offline, which takes 15 s.
ping_interval: 3s
ping_max: 2
"""
LEAF_CONFIG: Final = f"""\
{PING}# The node's own server: only this pod reaches it; the rest of the cluster is behind the leaf connection.
host: 127.0.0.1
port: 4222
leafnodes {{
  reconnect: 2s
  remotes: [{{ urls: $LEAF_URLS }}]
}}
# A leaf keeps no streams; what is asked of JetStream goes to the servers that do.
mappings {{ "$JS.API.>": "$JS.directpv.API.>" }}
"""
LEAF_MONITOR_PORT: Final = 8222
SECRET: Final = "directpv-bus"  # noqa: S105 - its name
"""Of which all keys of the bus are made: whoever installs makes it up, once. Key ``secret``."""
SECRET_DIR: Final = "/etc/directpv/bus"  # noqa: S105 - where it is mounted
SECRET_FILE: Final = f"{SECRET_DIR}/secret"
CA_DIR: Final = "/etc/directpv/bus-ca"
CA_FILE: Final = f"{CA_DIR}/{BUS_CA_KEY}"
"""By whom certificates of the hub's servers are issued; a pod waits until a controller has published it."""
SERVER_NAME: Final = f"{NAME}.{NAMESPACE}.svc"
RUN_DIR: Final = "/run/nats"
KEY_DIR: Final = f"{ROOT_DIR}/bus"
KEY_FILE: Final = f"{KEY_DIR}/node.nkey"
"""Of a node, on the node; made there."""


def own(options: Options) -> bool:
    """Tell whether NATS is installed, and asks everybody who he is."""
    return not options.nats_url


def hub_url(options: Options) -> str:
    """Return where controllers find NATS."""
    return options.nats_url or f"nats://{SERVER_NAME}:{CLIENT_PORT}"


def leaf_url(options: Options) -> str:
    """Return where the nodes' leaf servers connect to; empty if nodes have none."""
    if options.nats_url:
        return options.nats_leaf_url
    return f"wss://{SERVER_NAME}:{TLS_LEAF_PORT}"


def node_url(options: Options) -> str:
    """Return where the programs of a node find NATS."""
    return LOCAL_URL if leaf_url(options) else options.nats_url


def config_hash(text: str) -> str:
    """Return what changes when a configuration changes: as an annotation of a pod it makes new pods of it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def server_config(replicas: int) -> str:
    """Return the configuration of the servers."""
    routes = ", ".join(f"nats://{NAME}-{index}.{HEADLESS}.{NAMESPACE}.svc:{ROUTE_PORT}" for index in range(replicas))
    cluster = f"cluster {{ name: directpv, port: {ROUTE_PORT}, no_advertise: true, routes: [{routes}] }}\n"
    return (
        f"port: {CLIENT_PORT}\n"
        f"http_port: {MONITOR_PORT}\n"
        f"{PING}"
        "# Events only: losing them loses history, nothing else.\n"
        "jetstream { domain: directpv, store_dir: /data, max_memory_store: 64MiB, max_file_store: 768MiB }\n"
        f"leafnodes {{ port: {LEAF_PORT}, no_advertise: true }}\n"
    ) + (cluster if replicas > 1 else "")


def secret_volume() -> Object:
    """Return the volume with the secret of the bus; a pod waits until somebody has made it."""
    return {"name": BUS_VOLUME, "secret": {"secretName": SECRET, "defaultMode": 0o440}}


def ca_volume() -> Object:
    """Return the volume with the certificate of who issues those of the hub's servers."""
    return {"name": BUS_CA_VOLUME, "configMap": {"name": BUS_CA}}


def run_volume() -> Object:
    """Return the volume with the configuration that a server has in the end, keys included."""
    return {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}


def _config_map(name: str, text: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": {"nats.conf": text}}


def _service(name: str, ports: dict[str, int], **spec: object) -> Object:
    listed = [
        {"name": port_name, "port": number, "targetPort": port_name, "protocol": "TCP"}
        for port_name, number in ports.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": {"type": "ClusterIP", "selector": POD, "ports": listed, **spec},
    }


def _servers(replicas: int) -> str:
    return ",".join(f"{NAME}-{index}.{HEADLESS}.{NAMESPACE}.svc:{CLIENT_PORT}" for index in range(replicas))


def _server(options: Options) -> Object:
    """Return the server's container; ready without a JetStream quorum, for the APIs need none."""
    return container(
        "nats",
        options.images.driver,
        command=["directpv-nats"],
        args=[
            "--mode=hub",
            "--name=$(POD_NAME)",
            f"--bus-secret={SECRET_FILE}",
            f"--run-dir={RUN_DIR}",
            f"--subject-prefix={options.subject_prefix}",
            f"--server-names={SERVER_NAME},$(POD_NAME).{HEADLESS}.{NAMESPACE}.svc",
            f"--servers={_servers(options.nats_replicas)}",
            f"--leaf-listen=0.0.0.0:{TLS_LEAF_PORT}",
        ],
        env=[field_env("POD_NAME", "metadata.name")],
        ports=[
            port("client", CLIENT_PORT),
            port("leaf", LEAF_PORT),
            port(BUS_TLS_PORT, TLS_LEAF_PORT),
            port("route", ROUTE_PORT),
            port("monitor", MONITOR_PORT),
        ],
        readinessProbe=http_probe("/healthz?js-enabled-only=true", "monitor", timeout=5, failures=3),
        livenessProbe=http_probe("/healthz?js-enabled-only=true", "monitor", timeout=5, failures=6),
        startupProbe=http_probe("/healthz?js-enabled-only=true", "monitor", period=2, failures=90),
        volumeMounts=[
            mount("config", "/etc/nats", readOnly=True),
            mount("data", "/data"),
            mount(BUS_VOLUME, SECRET_DIR, readOnly=True),
            mount("run", RUN_DIR),
        ],
        security=confined(),
        cpu="50m",
        memory="128Mi",
    )


def _stateful_set(options: Options) -> Object:
    volumes: list[Object] = [
        {"name": "config", "configMap": {"name": NAME}},
        {"name": "data", "emptyDir": {"sizeLimit": STORE}},
        secret_volume(),
        run_volume(),
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(NAME, labels=dict(AFTER_CONTROLLERS)),
        "spec": {
            "replicas": options.nats_replicas,
            "serviceName": HEADLESS,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": POD},
            # Without a partition named, a server that is not ready when an upgrade begins is made anew from the
            # template before, and deleted for that, over and over (Kubernetes 1.37, newVersionedStatefulSetPod).
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {
                "metadata": {
                    "labels": POD,
                    "annotations": {
                        CREATED_BY: "kubectl-directpv",
                        CONFIG_HASH: config_hash(server_config(options.nats_replicas)),
                    },
                },
                "spec": replicated(options, ACCOUNT, POD, [_server(options)], volumes, token=False),
            },
        },
    }


def leaf_container(options: Options, security: Object) -> Object:
    """Return the node's own server. Whether it is ready shows in agent and gateway, which are not without it.

    It listens on loopback, where kubelet cannot ask it: the gateway, in the same pod, tells whether it greets.
    """
    urls = ", ".join(f'"{url}"' for url in leaf_url(options).split(","))
    keys = [mount("bus-key", KEY_DIR), mount("run", RUN_DIR), mount(BUS_CA_VOLUME, CA_DIR, readOnly=True)]
    joining = [
        f"--bus-key={KEY_FILE}",
        f"--run-dir={RUN_DIR}",
        f"--monitor-port={LEAF_MONITOR_PORT}",
        f"--bus-ca={CA_FILE}",
    ]
    return container(
        "nats",
        options.images.driver,
        command=["directpv-nats"],
        args=["--mode=leaf", "--name=$(KUBE_NODE_NAME)", *(joining if own(options) else [])],
        env=[field_env("KUBE_NODE_NAME", "spec.nodeName"), {"name": "LEAF_URLS", "value": f"[{urls}]"}],
        livenessProbe=http_probe("/nats", GATEWAY_PORT, period=30, failures=4),
        volumeMounts=[mount("nats-config", "/etc/nats", readOnly=True), *(keys if own(options) else [])],
        security=security,
        cpu="10m",
        memory="32Mi",
    )


def _policy(node_pod: dict[str, str], controller_pod: dict[str, str]) -> Object:
    """Let only our own pods speak to NATS, which lets in none but them anyway. Needs a network that obeys."""

    def rule(port_numbers: list[int], *pods: dict[str, str]) -> Object:
        return {
            "from": [{"podSelector": {"matchLabels": pod}} for pod in pods],
            "ports": [{"port": number, "protocol": "TCP"} for number in port_numbers],
        }

    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(NAME),
        "spec": {
            "podSelector": {"matchLabels": POD},
            "policyTypes": ["Ingress"],
            "ingress": [
                rule([CLIENT_PORT, LEAF_PORT, TLS_LEAF_PORT], node_pod, controller_pod),
                rule([ROUTE_PORT], POD),
            ],
        },
    }


def objects(options: Options, node_pod: dict[str, str], controller_pod: dict[str, str]) -> list[Object]:
    """Return what there is of NATS beside its servers, the leaf's configuration included.

    With a NATS of the user's own, only that.
    """
    leaf = [_config_map(LEAF, LEAF_CONFIG)] if leaf_url(options) else []
    if options.nats_url:
        return leaf
    ports = {"client": CLIENT_PORT, "leaf": LEAF_PORT, BUS_TLS_PORT: TLS_LEAF_PORT}
    return [
        *leaf,
        _config_map(NAME, server_config(options.nats_replicas)),
        _service(NAME, ports),
        _service(HEADLESS, {**ports, "route": ROUTE_PORT}, clusterIP="None", publishNotReadyAddresses=True),
        _policy(node_pod, controller_pod),
    ]


def servers(options: Options) -> list[Object]:
    """Return the servers; they ask the controllers who somebody is, which must be there before them."""
    return [_stateful_set(options), disruption_budget(NAME, POD, options)] if own(options) else []
