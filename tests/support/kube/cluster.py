"""Clusters that tests run in: one of their own, whose machines can be broken, or one that somebody lends."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from support.guest.pulse import TimerLost
from support.guest.uml import DISK_SIZE, make_disk
from support.kube.api import Api, KubectlError
from support.kube.controlplane import ControlPlane
from support.kube.images import Store
from support.kube.node import KubeNode, is_ready

NODE_SECONDS: Final = 180.0
STARTS: Final = 3
LARGER: Final = 64 * 1024 * 1024
"""Bytes that each disk of a node has more than the one before."""
"""How often a node whose guest loses its timer before the tests begin is started."""
_LOOK_SECONDS: Final = 15.0


class Cluster:
    """What any test needs; ``api`` is how objects are made and looked at."""

    def __init__(self, directory: Path, api: Api) -> None:
        self.directory, self.api = directory, api

    async def eventually(self, condition: Callable[[], Any], what: str, within: float = 60.0) -> Any:
        """Wait until ``condition()``, which may block for a while, returns something true; return that."""
        return await self.until(lambda: asyncio.to_thread(condition), what, within)

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str, within: float = 60.0) -> Any:
        """Wait until ``await condition()`` is something true; return that. A kubectl that fails tells nothing yet."""
        end, failure = time.monotonic() + within, ""
        looked = time.monotonic()
        while True:
            if time.monotonic() > looked + _LOOK_SECONDS:
                await self.require_machines()
                looked = time.monotonic()
            try:
                if found := await condition():
                    return found
                failure = ""
            except (KubectlError, subprocess.TimeoutExpired) as error:
                failure = f"\nlast look: {error}"
            assert time.monotonic() < end, f"not within {within:.0f} s: {what}{failure}\n{self.summary()}"
            await asyncio.sleep(0.2)

    async def pods_ready(
        self, selector: str, count: int, namespace: str = "default", within: float = 120.0
    ) -> list[Any]:
        """Wait until so many pods with these labels are ready; return them."""

        def look() -> list[dict[str, Any]]:
            pods = self.api.objects("pods", "-n", namespace, "-l", selector)
            ready = [pod for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]
            return ready if len(ready) == count else []

        found: list[dict[str, Any]] = await self.eventually(look, f"{count} pods {selector} are ready", within)
        return found

    async def require_machines(self) -> None:
        """Raise what is wrong with machines that this cluster is made of, if that is known."""

    def summary(self) -> str:
        """Return what a person would look at first when something does not get ready."""
        pods = self.api.attempt("get", "pods,pvc", "-A", "-o", "wide")
        events = self.api.attempt("get", "events", "-A", "--field-selector=type!=Normal", "--sort-by=.lastTimestamp")
        return f"{pods.stdout}{pods.stderr}\n{events.stdout[-4000:]}"


class OwnCluster(Cluster):
    """Up after :meth:`start`: a control plane, and ``nodes`` that are machines of their own."""

    def __init__(self, directory: Path, store: Store) -> None:
        self.plane = ControlPlane(directory)
        super().__init__(directory, self.plane.api)
        self.store = store
        self.nodes: list[KubeNode] = []

    async def start(self, nodes: int, drives: int) -> None:
        """Start everything with so many nodes of so many disks each, no two of a size, and wait for all nodes."""
        plane = asyncio.create_task(asyncio.to_thread(self.plane.start))
        for number in range(1, nodes + 1):
            files = [
                make_disk(self.directory / f"node{number}-{index}.img", DISK_SIZE + index * LARGER)
                for index in range(drives)
            ]
            self.nodes.append(KubeNode(self.plane, self.store, self.directory, number, files))
        await asyncio.gather(plane, *(self._start(node, plane) for node in self.nodes))

    async def _start(self, node: KubeNode, plane: "asyncio.Task[None]") -> None:
        for left in reversed(range(STARTS)):
            try:
                await node.start(plane)
                break
            except TimerLost as fault:
                if not left:
                    raise
                print(f"{fault}; it is started anew", flush=True)
                node.forget()

    async def require_machines(self) -> None:
        """Raise what is wrong with a guest, if one is dead."""
        for fault in await asyncio.gather(*(node.machine.fault() for node in self.nodes)):
            if fault is not None:
                raise fault

    def node(self, name: str) -> KubeNode:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def all_ready(self) -> bool:
        """Tell whether every node is."""
        return sum(is_ready(node) for node in self.api.objects("nodes")) == len(self.nodes)

    def disks(self) -> set[tuple[str, str]]:
        """Return all disks that are meant for drives: name of the node, kernel name."""
        return {(node.name, drive) for node in self.nodes for drive in node.drives}

    async def close(self, *, failed: bool = False) -> None:
        """End everything; tell what there is to tell if a test failed."""
        if failed:
            for node in self.nodes:
                for name in ("kubelet", "containerd"):
                    with contextlib.suppress(Exception):
                        print(f"---- {node.name} {name}", (await node.log(name))[-2000:], sep="\n")
        for node in self.nodes:
            node.close()
        self.plane.close()
