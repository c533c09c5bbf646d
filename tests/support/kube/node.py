"""A node of a test cluster: a guest with containerd, kubelet and kube-proxy, and with disks of its own."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from typing import Any, Final

import yaml

from support.guest import network
from support.guest.client import Hand
from support.guest.uml import Uml
from support.kube import runtime
from support.kube.api import KubectlError
from support.kube.controlplane import DOMAIN, PODS, ControlPlane
from support.kube.images import Store

MEMORY: Final = 1536
READY_SECONDS: Final = 180.0
HEALTH_PERIOD: Final = "15s"
"""Between kubelet's questions about the health of volumes and of their storage; its default is a minute."""
_SOCKET: Final = "unix:///run/containerd/containerd.sock"
SPARE: Final = 14
"""Index of the disk that :meth:`KubeNode.plug` puts in; no guest has so many from the beginning."""
_MCONSOLE: Final = struct.Struct("=III512s")
_MCONSOLE_REPLY: Final = struct.Struct("=III")
_MCONSOLE_MAGIC: Final = 0xCAFEBABE
_MCONSOLE_VERSION: Final = 2


class KubeNode:
    """One node. Its last disk is its own, with what survives a reboot; the others, ``drives``, become drives."""

    def __init__(self, plane: ControlPlane, store: Store, directory: Path, number: int, drives: list[Path]) -> None:
        """Describe a node that is not started yet.

        Args:
            plane: Control plane that it joins.
            store: Has the images that it starts with.
            directory: For its own files.
            number: 1 to 200; gives name and addresses.
            drives: Files of disks, up to 14.
        """
        self.plane, self.number = plane, number
        self.name = f"node{number}"
        self._own = directory / f"{self.name}.cow"
        self.machine = Uml(self.name, number, directory, [*drives, store.copy(self._own)], memory=MEMORY)
        self.drives = [self.machine.disk_device(index).removeprefix("/dev/") for index in range(len(drives))]
        self.subnet = f"10.244.{number}.0/24"
        network.ip("route", "add", self.subnet, "via", self.address)

    @property
    def hand(self) -> Hand:
        """The machine's hand."""
        return self.machine.hand

    @property
    def address(self) -> str:
        """Of the node."""
        return self.machine.port.address

    # ---- running ------------------------------------------------------------------------------------------------

    async def start(self, plane: "asyncio.Future[None] | None" = None) -> None:
        """Boot it, start what makes it a node, and wait until it is ready; raises TimerLost if the guest dies on it.

        Args:
            plane: Done when the control plane is up; None if it is.
        """
        await self.machine.start()
        await self.machine.watched(self._start(plane))

    async def _start(self, plane: "asyncio.Future[None] | None") -> None:
        own = self.machine.disk_device(len(self.drives))
        await runtime.prepare(self.hand, own, self.subnet)
        await runtime.start_containerd(self.hand)
        if plane is not None:
            await asyncio.shield(plane)
        await self.start_kubelet()
        await self.start_proxy()
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(self._is_ready):
                await asyncio.sleep(0.2)

    def _is_ready(self) -> bool:
        with contextlib.suppress(KubectlError):
            return any(map(is_ready, self.plane.api.objects("nodes", f"--field-selector=metadata.name={self.name}")))
        return False

    async def start_kubelet(self) -> None:
        """Start the kubelet; it registers the node."""
        pki = self.plane.api.pki
        client = pki.client(f"system:node:{self.name}", "system:nodes")
        config = self.plane.api.endpoint.write(self.machine.directory / f"{self.name}.yaml", client)
        server = pki.server(self.name, [self.address], [self.name])
        await self._give("kubelet.kubeconfig", config)
        await self._give("kubelet.crt", server.certificate)
        await self._give("kubelet.key", server.key)
        await self._give("ca.crt", pki.authority.certificate)
        await self.hand.write("/run/kubelet.yaml", yaml.safe_dump(self._kubelet_config()).encode())
        await runtime.start(
            self.hand, "kubelet",
            "--config=/run/kubelet.yaml", "--kubeconfig=/run/kubelet.kubeconfig",
            f"--hostname-override={self.name}", f"--node-ip={self.address}", "--housekeeping-interval=5m",
        )  # fmt: skip

    async def start_proxy(self) -> None:
        """Start kube-proxy."""
        pair = self.plane.api.pki.client("system:kube-proxy")
        config = self.plane.api.endpoint.write(self.machine.directory / "kube-proxy.yaml", pair)
        await self._give("proxy.kubeconfig", config)
        settings = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": PODS,
            "hostnameOverride": self.name,
            "clientConnection": {"kubeconfig": "/run/proxy.kubeconfig"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            # What changes is written at once; to write all of it anew each half minute takes much of a guest's time.
            "iptables": {"minSyncPeriod": "1s", "syncPeriod": "1h"},
        }
        await self.hand.write("/run/proxy.yaml", yaml.safe_dump(settings).encode())
        await runtime.start(self.hand, "kube-proxy", "--config=/run/proxy.yaml")

    def _kubelet_config(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": _SOCKET,
            "authentication": {"x509": {"clientCAFile": "/run/ca.crt"}, "anonymous": {"enabled": False}},
            "tlsCertFile": "/run/kubelet.crt",
            "tlsPrivateKeyFile": "/run/kubelet.key",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "clusterDNS": [network.HOST],
            "clusterDomain": DOMAIN,
            "resolvConf": "/dev/null",
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
            "evictionHard": {"memory.available": "1Mi"},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "4s",
            "syncFrequency": "10s",
            "maxPods": 250,
            "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
            "featureGates": {"CSIVolumeHealth": True},
            "volumeStatsAggPeriod": HEALTH_PERIOD,
        }

    async def _give(self, name: str, file: Path) -> None:
        await self.hand.write(f"/run/{name}", file.read_bytes())

    def forget(self) -> None:
        """Cut its power, and have nothing of what it wrote on its own disk."""
        self.machine.kill()
        self._own.unlink(missing_ok=True)

    # ---- trouble ------------------------------------------------------------------------------------------------

    async def reboot(self) -> None:
        """Cut its power and boot it again."""
        await self.fail()
        await self.start()

    async def fail(self) -> None:
        """Cut its power.

        What containerd and kubelet keep on the node's own disk is synced before, for they do not sync it themselves
        here, and are not what is tested. Drives are not.
        """
        await self.hand.run("sync", "-f", "/run/state")
        self.machine.kill()

    async def plug(self, file: Path) -> str:
        """Put a further disk in, and return its kernel name; it is gone with the next boot."""
        device = self.machine.disk_device(SPARE)
        name = device.removeprefix("/dev/")
        await asyncio.to_thread(_mconsole, self._console, f"config {name}={file}")
        await self.hand.sh(f"udevadm settle && test -b {device}")
        return name

    async def unplug(self) -> None:
        """Take out the disk that :meth:`plug` put in, which nothing uses any more."""
        name = self.machine.disk_device(SPARE).removeprefix("/dev/")
        await asyncio.to_thread(_mconsole, self._console, f"remove {name}")

    @property
    def _console(self) -> Path:
        return next(self.machine.directory.glob(f"{self.name}-*/mconsole"))

    async def processes(self, argument: str, environment: str = "") -> list[int]:
        """Return the ids of processes that have these texts in one of their arguments, and in their environment."""
        found = await self._that_have(argument, "cmdline")
        return sorted(found & await self._that_have(environment, "environ") if environment else found)

    async def _that_have(self, text: str, where: str) -> set[int]:
        """Look for ``text`` in a file of every process; it comes by standard input, lest the search find itself."""
        script = f"grep -slaF -f - /proc/[0-9]*/{where} || true"
        paths = await self.hand.run("sh", "-c", script, input=text.encode())
        return {int(path.split("/")[2]) for path in paths.split()}

    async def tag_image(self, image: str, further: str) -> None:
        """Let an image that the node has be known by a further name."""
        await self.hand.run(f"{self.plane.programs}/ctr", "-n", "k8s.io", "images", "tag", "--force", image, further)

    def close(self) -> None:
        """End it."""
        self.machine.close()

    async def log(self, name: str) -> str:
        """Return what ``containerd``, ``kubelet`` or ``kube-proxy`` said since it booted."""
        return (await self.hand.read(f"/run/logs/{name}.log")).decode(errors="replace")


def _mconsole(path: Path, text: str) -> None:
    """Tell a guest's kernel of a disk that comes or goes.

    Source: Linux, arch/um/drivers/mconsole.h, and Documentation/virt/uml: ``config <device>=<configuration>``,
    ``remove <device>``.
    """
    command = text.encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as console:
        console.settimeout(30)
        console.bind("")  # any name, for the reply
        console.sendto(_MCONSOLE.pack(_MCONSOLE_MAGIC, _MCONSOLE_VERSION, len(command), command), str(path))
        reply = console.recv(_MCONSOLE.size)
        failed, _, length = _MCONSOLE_REPLY.unpack_from(reply)
        said = reply[_MCONSOLE_REPLY.size :][:length]
        assert not failed, f"{text}: {said.decode(errors='replace')}"


def is_ready(node: dict[str, Any]) -> bool:
    """Tell whether a node object says that it is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions", []))
