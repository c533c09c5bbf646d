"""Objects that use volumes, with the defaults of these tests; and a namespace of one test."""

import asyncio
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from support.kube.cluster import Cluster

IMAGE: Final = "docker.io/library/busybox:stable"
CLASS: Final = "directpv-min-io"
DRIVER: Final = "directpv-min-io"
KEY: Final = "directpv.min.io"
IDLE: Final = "exec sleep 86400"
_SPACE: Final = "space"
"""Label of the storage classes that one test made."""
Object = dict[str, Any]


def claim_spec(size: str = "16Mi", storage_class: str = CLASS, mode: str = "ReadWriteOnce") -> Object:
    """Return the ``spec`` of a claim."""
    return {
        "accessModes": [mode],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }


def claim(name: str, size: str = "16Mi", storage_class: str = CLASS, mode: str = "ReadWriteOnce") -> Object:
    """Return a PersistentVolumeClaim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": claim_spec(size, storage_class, mode),
    }


def pod_spec(claims: Sequence[str] = (), script: str = IDLE, *, read_only: bool = False, **more: Any) -> Object:
    """Return the ``spec`` of a pod that runs a shell script; claim ``x`` is mounted at ``/x``.

    ``read_only`` is said of the claims, not of the container's mounts: so the driver is asked for it.
    """
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in claims]
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "volumeMounts": mounts,
    }
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": read_only}} for name in claims]
    return {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes, **more}


def pod(
    name: str, claims: Sequence[str] = (), script: str = IDLE, labels: Mapping[str, str] | None = None, **more: Any
) -> Object:
    """Return a pod; see :func:`pod_spec`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": pod_spec(claims, script, **more),
    }


def stateful_set(
    name: str,
    replicas: int,
    claims: Sequence[str],
    *,
    size: str = "16Mi",
    storage_class: str = CLASS,
    labels: Mapping[str, str] | None = None,
    script: str = IDLE,
    **more: Any,
) -> Object:
    """Return a StatefulSet whose pods start at once; each has the claims, mounted at their names."""
    every = {"app": name, **(labels or {})}
    spec = pod_spec(claims, script, **more)
    templates = [{"metadata": {"name": each}, "spec": claim_spec(size, storage_class)} for each in claims]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": every}, "spec": {**spec, "volumes": []}},
            "volumeClaimTemplates": templates,
        },
    }


def storage_class(name: str, *, binding: str = "WaitForFirstConsumer", **parameters: str) -> Object:
    """Return a class of ours; ``parameters`` are keys of our group, with ``_`` for ``-``."""
    chosen = {f"{KEY}/{key.replace('_', '-')}": value for key, value in parameters.items()}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "parameters": {"csi.storage.k8s.io/fstype": "xfs", **chosen},
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": binding,
    }


def drive_of(volume: Object) -> str:
    """Return the id of the drive that a volume's object names."""
    return str(volume["status"]["fsuuid"])


def node_of(volume: Object) -> str:
    """Return the node that a volume's object names."""
    return str(volume["metadata"]["labels"][f"{KEY}/node"])


class Space:
    """A namespace; :meth:`clear` deletes it with its storage classes, and waits until its volumes are gone."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    async def make(self) -> None:
        """Create it."""
        await self.kubectl("create", "namespace", self.name, namespaced=False)

    async def kubectl(self, *arguments: str, within: float = 60.0, namespaced: bool = True) -> str:
        """Run kubectl in it."""
        where = ("-n", self.name) if namespaced else ()
        return await asyncio.to_thread(lambda: self.cluster.api.kubectl(*where, *arguments, within=within))

    async def apply(self, *objects: Object) -> None:
        """Create or change objects in it; those that belong to no namespace are taken as they are."""
        placed = [self._placed(each) for each in objects]
        await asyncio.to_thread(lambda: self.cluster.api.apply(*placed))

    def _placed(self, each: Object) -> Object:
        if each["kind"] == "PersistentVolume":
            return each
        mine = {"labels": {_SPACE: self.name}} if each["kind"] == "StorageClass" else {"namespace": self.name}
        return {**each, "metadata": {**each["metadata"], **mine}}

    async def objects(self, *arguments: str) -> list[Object]:
        """Return the items of ``kubectl get``."""
        return await asyncio.to_thread(lambda: self.cluster.api.objects("-n", self.name, *arguments))

    async def ready(self, selector: str, count: int, within: float = 180.0) -> list[Object]:
        """Wait until so many pods are ready; return them by name."""
        pods = await self.cluster.pods_ready(selector, count, self.name, within)
        return sorted(pods, key=lambda each: str(each["metadata"]["name"]))

    async def sh(self, pod: str, script: str, within: float = 60.0) -> str:
        """Run a shell script in a pod; return what it says."""
        return (await self.kubectl("exec", pod, "--", "sh", "-ec", script, within=within)).strip()

    async def sh_in_all(self, pods: Sequence[str], script: str) -> dict[str, str]:
        """Run a shell script in all of these pods at once; return what it says in each."""
        return dict(zip(pods, await asyncio.gather(*(self.sh(pod, script) for pod in pods)), strict=True))

    async def attempt(self, pod: str, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell script in a pod, whatever comes of it."""
        return await asyncio.to_thread(
            self.cluster.api.attempt, "-n", self.name, "exec", pod, "--", "sh", "-ec", script
        )

    async def volumes(self) -> dict[str, Object]:
        """Return the volumes' objects by the names of their claims."""
        claims = {each["spec"].get("volumeName"): each["metadata"]["name"] for each in await self.objects("pvc")}
        volumes = await asyncio.to_thread(lambda: self.cluster.api.objects("directpvvolumes"))
        return {claims[each["metadata"]["name"]]: each for each in volumes if each["metadata"]["name"] in claims}

    async def bound(self, names: Collection[str], within: float = 300.0) -> dict[str, Object]:
        """Wait until these claims are bound; return their volumes' objects."""
        wanted = set(names)

        def look() -> bool:
            claims = self.cluster.api.objects("-n", self.name, "pvc")
            bound = {each["metadata"]["name"] for each in claims if each["status"].get("phase") == "Bound"}
            return wanted <= bound

        await self.cluster.eventually(look, f"{len(wanted)} claims are bound", within)
        found = {name: volume for name, volume in (await self.volumes()).items() if name in wanted}
        assert found.keys() == wanted, f"bound without a volume of ours: {wanted - found.keys()}"
        return found

    async def told(self, name: str, *words: str, within: float = 180.0) -> str:
        """Wait until an event about the object of this name has all these words; return its message."""

        def look() -> str:
            about = self.cluster.api.objects("-n", self.name, "events", f"--field-selector=involvedObject.name={name}")
            said = (f"{each['reason']}: {each['message']}" for each in about)
            return next((message for message in said if all(word in message for word in words)), "")

        found: str = await self.cluster.eventually(look, f"an event about {name} says {', '.join(words)}", within)
        return found

    async def clear(self) -> None:
        """Delete everything in it, and wait until its volumes are gone; what is left of itself goes later."""
        mine = {each["spec"].get("volumeName") for each in await self.objects("pvc")}
        await self.kubectl("delete", "statefulsets,pods,pvc", "--all", "--wait=false")
        await asyncio.gather(
            self.kubectl("delete", "namespace", self.name, "--wait=false", namespaced=False),
            self.kubectl("delete", "storageclass", "-l", f"{_SPACE}={self.name}", namespaced=False),
        )

        def gone() -> bool:
            return not mine & {each["metadata"]["name"] for each in self.cluster.api.objects("directpvvolumes")}

        await self.cluster.eventually(gone, f"the volumes of {self.name} are gone", 600)
