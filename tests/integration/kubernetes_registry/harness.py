"""A real API server with our definitions, controllers as processes of their own, and objects laid out by hand."""

import contextlib
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_controller.core.placing.model import Snapshot
from directpv_controller.core.reserving.ledger import Ledger
from integration.controller.harness import LEASE_SECONDS, Controller, until
from support.kube.apiserver import ApiServer
from support.kube.rest import JSON, MERGE, Refused
from support.nats import NatsServer

GIB = 1024**3
GROUP = f"/apis/{names.GROUP}/{names.API_VERSION}"
DRIVES, VOLUMES = f"{GROUP}/directpvdrives", f"{GROUP}/directpvvolumes"
NODES, REQUESTS = f"{GROUP}/directpvnodes", f"{GROUP}/directpvinitrequests"
ALL = (DRIVES, VOLUMES, NODES, REQUESTS)


class Objects:
    """Reads and writes whole objects, as upstream's plugin does."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    def call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises :class:`~support.kube.rest.Refused`, or OSError if the server does not answer."""
        return self.server.rest.send(verb, path, body, MERGE if verb == "PATCH" else JSON)

    def all(self, path: str) -> dict[str, dict[str, Any]]:
        return {item["metadata"]["name"]: item for item in self.call("GET", path)["items"]}

    def find(self, path: str, name: str) -> dict[str, Any] | None:
        try:
            return self.call("GET", f"{path}/{name}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def change(self, path: str, name: str, change: Any) -> dict[str, Any]:
        """Get, change, put; again after a conflict, as upstream's plugin does."""
        while True:
            obj = self.call("GET", f"{path}/{name}")
            change(obj)
            try:
                return self.call("PUT", f"{path}/{name}", obj)
            except Refused as error:
                if error.status != 409:
                    raise

    def erase(self, path: str, name: str) -> None:
        """Delete by force: finalizers are stripped."""
        self.call("DELETE", f"{path}/{name}")
        try:
            self.call("PATCH", f"{path}/{name}", {"metadata": {"finalizers": None}})
        except Refused as error:
            if error.status != 404:  # it had none, or somebody else has just taken them away
                raise

    def clear(self) -> None:
        for path in ALL:
            for name in self.all(path):
                self.erase(path, name)


class Cluster:
    """One installation on the API server: a namespace for its lease, and its own NATS."""

    def __init__(self, server: ApiServer, nats: NatsServer, directory: Path) -> None:
        self.server, self.nats, self.directory = server, nats, directory
        self.objects = Objects(server)
        self.namespace = f"t-{uuid.uuid4().hex[:8]}"
        self.started: list[Controller] = []
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.objects.call("POST", "/api/v1/namespaces", namespace)

    def controller(self, name: str = "c1", **settings: object) -> Controller:
        values = {"registry": "kubernetes", "kubeconfig": self.server.admin, "namespace": self.namespace, **settings}
        controller = Controller(self.nats, self.directory, name, **values)
        self.started.append(controller)
        return controller

    def end(self) -> None:
        for controller in self.started:
            controller.end()
            print(f"==== {controller.log.name}", controller.log.read_text(errors="replace"), sep="\n")

    @property
    def lease(self) -> dict[str, Any]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        return self.objects.call("GET", f"{path}/directpv-controller")

    def snapshot(self) -> Snapshot:
        volumes = [crd.volume_from_object(obj)[0] for obj in self.objects.all(VOLUMES).values()]
        sizes: dict[str, int] = {}
        for volume in volumes:
            sizes[volume.fsuuid] = sizes.get(volume.fsuuid, 0) + volume.capacity
        objects = self.objects.all(DRIVES).items()
        drives = [crd.drive_from_object(obj, sizes=sizes.get(name, 0))[0] for name, obj in objects]
        return Snapshot(drives, volumes)

    def wrong(self) -> list[str]:
        """Return what contradicts itself in the objects."""
        snapshot = self.snapshot()
        found = Ledger.load(snapshot, lambda: 0.5).check()
        drives = self.objects.all(DRIVES)
        for name, obj in drives.items():
            on_it = {crd.volume_finalizer(v.name) for v in snapshot.volumes if v.fsuuid == name}
            status = obj["status"]
            if crd.held_volumes(obj) != on_it:
                found.append(f"drive {name} shows {sorted(crd.held_volumes(obj))}, but has {sorted(on_it)}")
            if status["freeCapacity"] + status["allocatedCapacity"] != status["totalCapacity"]:
                found.append(f"drive {name}: free and allocated make not the total")
        return found

    def metric(self, controller: Controller, text: str) -> float:
        """Return the sum of all samples of the controller's metrics that begin with ``text``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{controller.port}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(text))


def define(server: ApiServer) -> None:
    """Give an API server our definitions, established."""
    server.apply(*crd.custom_resource_definitions())
    server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


@contextlib.contextmanager
def installation(server: ApiServer, nats: NatsServer, directory: Path) -> Iterator[Cluster]:
    """Have an installation in the block; its controllers end, and its objects go, with it."""
    cluster = Cluster(server, nats, directory)
    try:
        yield cluster
    finally:
        cluster.end()
        cluster.objects.clear()


async def leads(controller: Controller) -> None:
    await until(lambda: controller.said('"leading"'), f"{controller.log.name} leads")


async def create(bus: Bus, name: str, size: int = GIB, within: float = 20, **asked: Any) -> m.VolumeInfo:
    request = m.CreateVolume(name=name, required=size, **asked)
    return await bus.call(Api.VOLUME_CREATE, request, within=within)


async def volumes(bus: Bus) -> dict[str, m.VolumeInfo]:
    page = await bus.call(Api.VOLUME_LIST, m.ListVolumes(), within=20)
    return {info.record.name: info for info in page.volumes}


async def drives(bus: Bus) -> dict[str, m.DriveInfo]:
    page = await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=20)
    return {info.record.fsuuid: info for info in page.drives}


async def is_there(bus: Bus, fsuuid: str) -> bool:
    return fsuuid in await drives(bus)


async def registered(cluster: "Cluster", bus: Bus, *fsuuids: str) -> None:
    """Wait until the leader has taken drives in, and their objects are there, which comes after."""
    for fsuuid in fsuuids:
        await until(lambda fsuuid=fsuuid: is_there(bus, fsuuid), f"{fsuuid} is known")  # type: ignore[misc]
    await until(lambda: cluster.objects.all(DRIVES).keys() >= set(fsuuids), "their objects are there")


def upstream_drive(fsuuid: str, node: str = "n1", *held: str, free: int = 99 * GIB, **more: Any) -> dict[str, Any]:
    """A DirectPVDrive of 100 GiB, exactly as upstream v4.1.6 leaves it."""
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVDrive",
        "metadata": {
            "name": fsuuid,
            "finalizers": ["directpv.min.io/data-protection", *(f"directpv.min.io.volume/{name}" for name in held)],
            "labels": {
                "directpv.min.io/node": node,
                "directpv.min.io/drive-name": "sdb",
                "directpv.min.io/access-tier": "Default",
                "directpv.min.io/version": "v1beta1",
                "directpv.min.io/created-by": "directpv-driver",
                **more.get("labels", {}),
            },
        },
        "spec": {},
        "status": {
            "totalCapacity": 100 * GIB,
            "allocatedCapacity": 100 * GIB - free,
            "freeCapacity": free,
            "fsuuid": fsuuid,
            "status": "Ready",
            "topology": {
                "directpv.min.io/identity": "directpv-min-io",
                "directpv.min.io/node": node,
                "directpv.min.io/rack": "default",
                "directpv.min.io/region": "default",
                "directpv.min.io/zone": "default",
            },
        },
    }


def upstream_volume(name: str, fsuuid: str, size: int, node: str = "n1", **more: Any) -> dict[str, Any]:
    """A staged DirectPVVolume, exactly as upstream v4.1.6 leaves it."""
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": "DirectPVVolume",
        "metadata": {
            "name": name,
            "finalizers": ["directpv.min.io/pv-protection", "directpv.min.io/purge-protection"],
            "labels": {
                "directpv.min.io/drive": fsuuid,
                "directpv.min.io/node": node,
                "directpv.min.io/drive-name": "sdb",
                "directpv.min.io/version": "v1beta1",
                "directpv.min.io/created-by": "directpv-controller",
                **more.get("labels", {}),
            },
        },
        "status": {
            "dataPath": f"/var/lib/directpv/mnt/{fsuuid}/.FSUUID.{fsuuid}/{name}",
            "stagingTargetPath": f"/var/lib/kubelet/plugins/staging/{name}",
            "targetPath": "",
            "fsuuid": fsuuid,
            "totalCapacity": size,
            "availableCapacity": size,
            "usedCapacity": 0,
            "status": "Ready",
            "conditions": [],
        },
    }


__all__ = ["LEASE_SECONDS"]
