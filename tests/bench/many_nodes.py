"""A cluster of nodes without machines: the real control plane, provisioner, gateway and controller, and played agents.

Nodes are objects that are always ready; no kubelet runs, so pods are bound to nodes and never start.
"""

import asyncio
import contextlib
import os
import secrets
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from bench import programs
from directpv_cli.install.objects import base, controller
from directpv_cli.install.objects.options import Options
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol import names
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from integration.controller.node import PlayedNode
from support.kube import programs as built
from support.kube.apiserver import ApiServer
from support.kube.process import Program
from support.ports import free_port

BEAT_SECONDS = 5.0
NAMESPACE = "default"
CALLS = 1000
"""Requests a second that Kubernetes' own programs may make: what they may by default would be measured otherwise."""
NODES = Resource("/api/v1/nodes", "nodes")
CSI_NODES = Resource("/apis/storage.k8s.io/v1/csinodes", "csinodes")
MANAGERS = "persistentvolume-binder-controller,serviceaccount-controller,persistentvolume-protection-controller"
READY_SECONDS = 60.0
Profiles = Sequence[dict[str, Any]]
"""Of a KubeSchedulerConfiguration; none: its own."""


def name_of(number: int) -> str:
    """Return the name of a node."""
    return f"node-{number:05d}"


async def add_node(client: Client, number: int) -> None:
    """Make a node that is ready, and say that our driver runs on it, as kubelet does."""
    name = name_of(number)
    node = await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": _node(name)})
    room = {"cpu": "10000", "memory": "10Ti", "pods": "100000"}
    ready = [{"type": "Ready", "status": "True", "reason": "Played", "message": "", "lastTransitionTime": None}]
    status = {"capacity": room, "allocatable": room, "conditions": ready}
    await client.merge(Resource(f"/api/v1/nodes/{name}", "nodes"), "status", {"status": status})
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
    driver = {"name": names.DRIVER_NAME, "nodeID": name, "topologyKeys": sorted(PlayedNode(name).info.topology)}
    await client.create(
        CSI_NODES,
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": {"drivers": [driver]},
        },
    )


def _node(name: str) -> dict[str, Any]:
    topology = PlayedNode(name).info.topology  # as kubelet labels nodes by what NodeGetInfo says
    return {"name": name, "labels": {**topology, "kubernetes.io/hostname": name}}


class Running:
    """What runs, by name, with process ids: where processor time goes."""

    def __init__(self, server: ApiServer, bus: Bus, nodes: list[PlayedNode]) -> None:
        self.server, self.bus, self.nodes = server, bus, nodes
        self.pids: dict[str, int] = {
            "kube-apiserver": server.process.pid,
            "etcd": server.etcd.process.pid,
            "what plays users and agents": os.getpid(),
        }

    def seconds(self) -> dict[str, float]:
        """Return the processor time of each so far."""
        return {name: programs.cpu_seconds(pid) for name, pid in self.pids.items()}


def _sidecar_flags() -> list[str]:
    """Return the provisioner's flags as the manifests have them, but for what needs a pod."""
    spec = controller.deployment(Options())["spec"]["template"]["spec"]
    (args,) = [each["args"] for each in spec["containers"] if each["name"] == "csi-provisioner"]
    own = ("--csi-address", "--leader-election", "--capacity-ownerref-level")
    return [flag for flag in args if not flag.startswith(own)]


@contextlib.contextmanager
def _kubernetes(server: ApiServer, work: Path, profiles: Profiles) -> Iterator[dict[str, int]]:
    """Run controller manager and scheduler; yield their process ids."""
    folder = built.kubernetes("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
    common = {"bind-address": "127.0.0.1", "authentication-skip-lookup": "true", "kubeconfig": server.admin}
    config = work / "scheduler.yaml"
    settings = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(server.admin), "qps": CALLS, "burst": 2 * CALLS},
        "leaderElection": {"leaderElect": False},
        **({"profiles": [*profiles]} if profiles else {}),
    }
    config.write_text(yaml.safe_dump(settings))
    more: dict[str, dict[str, object]] = {
        "kube-controller-manager": {
            "controllers": MANAGERS,
            "leader-elect": "false",
            "kube-api-qps": CALLS,
            "kube-api-burst": 2 * CALLS,
        },
        "kube-scheduler": {"config": config},
    }
    with ExitStack() as stack:
        pids = {}
        for name, flags in more.items():
            port = free_port()
            given = {**common, **flags, "secure-port": port, "cert-dir": work}
            command: list[str | Path] = [folder / name, *(f"--{key}={value}" for key, value in given.items())]
            program = Program(name, command, work / f"{name}.log")
            stack.callback(program.kill)
            program.start(lambda port=port: _well(port), READY_SECONDS)  # type: ignore[misc]
            pids[name] = program.pid
        yield pids


def _well(port: int) -> bool:
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # it makes itself a certificate at the start
    url = f"https://127.0.0.1:{port}/healthz"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2, context=trust) as reply:
        return bool(reply.status == 200)
    return False


@contextlib.contextmanager
def _ours(server: ApiServer, work: Path, url: str, prefix: str) -> Iterator[dict[str, int]]:
    """Run controller, gateway and the official provisioner; yield their process ids."""
    socket = str(work / "csi.sock")
    common = {"DIRECTPV_NATS_URL": url, "DIRECTPV_SUBJECT_PREFIX": prefix, "DIRECTPV_METRICS_PORT": "0"}
    settings = {
        "DIRECTPV_REGISTRY": "kubernetes",
        "DIRECTPV_KUBECONFIG": str(server.admin),
        "DIRECTPV_NAMESPACE": NAMESPACE,
        "DIRECTPV_LEASE_SECONDS": str(controller.LEASE_SECONDS),
    }
    gateway = {"DIRECTPV_CSI_SOCKET": socket, "DIRECTPV_MODE": "controller"}
    with (
        programs.program(
            *programs.python("directpv_controller"), env={**common, **settings}, log=work / "controller.log"
        ) as leader,
        programs.program(
            *programs.python("directpv_csi_gateway"), env={**common, **gateway}, log=work / "gateway.log"
        ) as served,
    ):
        programs.wait_for(lambda: programs.listens(socket), "the gateway")
        flags = [f"--csi-address={socket}", f"--kubeconfig={server.admin}", "--capacity-ownerref-level=-1"]
        command = [str(built.sidecars() / "csi-provisioner"), *_sidecar_flags(), *flags]
        place = {"NAMESPACE": NAMESPACE, "POD_NAME": "bench"}
        with programs.program(*command, env=place, log=work / "provisioner.log") as provisioner:
            yield {"controller": leader.pid, "gateway": served.pid, "csi-provisioner": provisioner.pid}


Connect = Callable[[ApiServer], AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def cluster(
    work: Path, url: str, client_of: Connect, drives: Sequence[Sequence[int]], profiles: Profiles = ()
) -> AsyncIterator[tuple[Running, Client]]:
    """Run a cluster.

    Args:
        work: For what programs write.
        url: Of the bus.
        client_of: Connects to an API server.
        drives: For each node the sizes of its drives, bytes.
        profiles: Of the scheduler.
    """
    server = ApiServer(work / "kube", durable=True)
    try:
        await asyncio.to_thread(server.start)
        server.apply(*crd.custom_resource_definitions(), base.csi_driver(Options().kube_version), _class())
        server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        prefix = f"bench-{secrets.token_hex(3)}"
        async with client_of(server) as client, connect_bus(url, name="agents", prefix=prefix) as bus:
            for number in range(len(drives)):
                await add_node(client, number)
            async with contextlib.AsyncExitStack() as agents:
                nodes = [PlayedNode(name_of(number), BEAT_SECONDS) for number in range(len(drives))]
                for node, sizes in zip(nodes, drives, strict=True):
                    for letter, size in zip("abcdefghijkl", sizes, strict=False):
                        node.add_drive(size, device=f"sd{letter}")
                    await agents.enter_async_context(node.running(bus))
                with _kubernetes(server, work, profiles) as kubernetes, _ours(server, work, url, prefix) as own:
                    running = Running(server, bus, nodes)
                    running.pids |= {**kubernetes, **own}
                    yield running, client
    finally:
        server.close()


def _class() -> dict[str, Any]:
    return {key: value for key, value in base.storage_class().items() if key != "allowedTopologies"}
