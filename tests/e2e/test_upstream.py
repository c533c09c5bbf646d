"""Upstream's drives, volumes and workloads are there already when DirectPV is installed."""

import json
import uuid
from typing import Any

import pytest

from directpv_common.protocol.inodes import set_aside
from integration.kubernetes_install import upstream
from support.guest.uml import make_disk
from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver, uninstalled
from support.kube.node import KubeNode
from support.kube.upstream_layout import CONTENT, Geometry, UpstreamDrive
from support.kube.workloads import (
    DRIVER,
    IMAGE,
    KEY,
    Object,
    Space,
    claim,
    drive_of,
    node_of,
    pod,
    storage_class,
)
from support.kube.writer import Writer, checked

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

MIB = 1 << 20
BLOCK = 4096
SIZE, LARGER = 32 * MIB, 64 * MIB
SLACK = 64 * 1024
"""Bytes that the directory itself may take of the limit."""
SMALL = ("--nats-replicas=1", "--controller-replicas=1")
"""An installation that need not outlive one of its pods."""
ENDS = "trap exit TERM; sleep 86400 & wait"
"""Without a handler, the first process of a container is not ended by SIGTERM, and its pod waits for the kill."""


def stand_in(item: dict[str, Any]) -> dict[str, Any]:
    """Let the pods of upstream's workloads do nothing until they are told to end, in place of what we do not have.

    One container stands for those of a pod: they would be started for no more than to be ended.
    """
    if item["kind"] not in ("DaemonSet", "Deployment"):
        return item
    item = json.loads(json.dumps(item))
    pods = item["spec"]["template"]["spec"]
    pods["volumes"][0]["hostPath"]["path"] = "/var/lib/direct-csi"
    pods["containers"] = pods["containers"][:1]
    for container in pods["containers"]:
        container |= {"image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", ENDS]}
    return item


async def used_under_upstream(space: Space, node: KubeNode) -> tuple[UpstreamDrive, Geometry]:
    """Lay out an installation of upstream with a drive on a disk of its own, and a claim with a file."""
    upstream_is_installed(space)
    device = await node.plug(make_disk(space.cluster.directory / "upstream.img"))
    wanted = claim("old", f"{SIZE // MIB}Mi")
    provisioner = {f"volume.{group}kubernetes.io/storage-provisioner": DRIVER for group in ("beta.", "")}
    wanted["metadata"]["annotations"] = {**provisioner, "volume.kubernetes.io/selected-node": node.name}
    await space.apply(wanted)
    (made,) = await space.objects("pvc")
    drive = UpstreamDrive(node, device, str(uuid.uuid4()), f"pvc-{made['metadata']['uid']}", SIZE)
    geometry = await drive.lay_out()
    for item in (drive.drive_object(geometry), drive.volume_object("former", space.name)):
        space.cluster.api.kubectl("create", "-f", "-", input=json.dumps(item))
    await space.apply(drive.persistent_volume(made))
    await space.bound(["old"])
    return drive, geometry


def upstream_is_installed(space: Space) -> None:
    for item in upstream.objects():
        text = json.dumps(stand_in(item))
        space.cluster.api.kubectl("create", "--field-manager=kubectl-directpv", "-f", "-", input=text)


async def in_use_under_upstream(space: Space, drive: UpstreamDrive, geometry: Geometry, user: Writer) -> None:
    """Leave a volume that a running pod has mounted as upstream would have: with no trace of us."""
    upstream_is_installed(space)
    status = (await user.volume())["status"]
    paths = {"staging": status["stagingTargetPath"], "target": status["targetPath"]}
    await drive.strip()
    for item in (drive.drive_object(geometry), drive.volume_object(user.name, space.name, **paths)):
        space.cluster.api.kubectl("replace", "-f", "-", input=json.dumps(item))


async def fills(space: Space, size: int, file: str = "file") -> str:
    """Use the volume: as much goes in as its size says; return what a file of it has, and leave it as it was."""
    await space.apply(pod("user", ["old"]))
    await space.ready("app=user", 1)
    content = await space.sh("user", f"cat /old/{file}")
    filled = await space.attempt("user", "dd if=/dev/zero of=/old/fill bs=64k")
    assert "No space left on device" in filled.stderr
    used = int(await space.sh("user", "sync /old/fill; du -sk /old | cut -f 1")) * 1024
    assert size - SLACK <= used <= size
    await space.sh("user", "rm /old/fill; sync /old")
    await space.kubectl("delete", "pod", "user")
    return content


async def expand(space: Space, size: int) -> None:
    wanted = f"{size // MIB}Mi"
    patch = json.dumps({"spec": {"resources": {"requests": {"storage": wanted}}}})
    await space.kubectl("patch", "pvc", "old", f"--patch={patch}")

    async def is_larger() -> bool:
        (found,) = await space.objects("pvc", "--field-selector=metadata.name=old")
        return bool(found["status"]["capacity"]["storage"] == wanted)

    await space.cluster.until(is_larger, f"the claim has {wanted}", 180)


class Adopted:
    """A drive of upstream that is to be ours."""

    def __init__(self, machines: OwnCluster, driver: Driver, old: UpstreamDrive) -> None:
        self.machines, self.driver, self.old = machines, driver, old

    def object(self) -> Object:
        return next(each for each in self.driver.drives() if each["metadata"]["name"] == self.old.fsuuid)

    def is_ours(self) -> bool:
        """Our books count the overhead; upstream's do not."""
        status = self.object()["status"]
        in_books = status["allocatedCapacity"] + status["freeCapacity"] == status["totalCapacity"]
        return bool(in_books and status["status"] == "Ready")

    async def check(self) -> int:
        """Wait until it is ours, and nothing of upstream is left; return what it counts beside its volume."""
        await self.machines.eventually(self.is_ours, "the drive is adopted")
        mounts = [line.split()[:2] for line in (await self.old.node.hand.read("/proc/mounts")).decode().splitlines()]
        assert mounts.count([f"/dev/{self.old.device}", self.old.place]) == 1
        self.driver.recount(self.old.fsuuid)
        running = self.machines.api.objects("pods", "-n", NAMESPACE)
        assert IMAGE not in {container["image"] for each in running for container in each["spec"]["containers"]}
        return int(self.object()["status"]["allocatedCapacity"]) - SIZE

    async def check_deleted(self, overhead: int) -> None:
        """Wait until its volume is gone, with every trace of it."""

        def is_gone() -> bool:
            volumes = {each["metadata"]["name"] for each in self.machines.api.objects("pv")}
            left = volumes | self.driver.volumes().keys()
            return self.old.volume not in left and self.object()["status"]["allocatedCapacity"] == overhead

        await self.machines.eventually(is_gone, "the volume is deleted and its space is free", 180)
        assert "pvc-" not in await self.old.node.hand.run("ls", "-A", self.old.place)
        assert self.object()["metadata"]["finalizers"] == ["directpv.min.io/data-protection"]


def without_set_aside(total: int, overhead: int) -> int:
    """Return the overhead that upstream would count of a drive for which we count ``overhead``: no bytes for inodes."""
    promised = total - overhead
    free = max(f for f in range(promised, promised + promised // 16, BLOCK) if f - set_aside(f) == promised)
    return total - free


async def test_a_drive_that_upstream_left_is_adopted_below_a_pod_that_writes_and_its_volume_expanded_and_deleted(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    user = Writer(space, "old")
    await space.apply(claim("old", f"{SIZE // MIB}Mi"))
    began = await user.start_pod()
    await machines.until(user.is_shown_in_use, "the volume is shown to be in use")
    volume = await user.volume()
    (drive,) = (each for each in driver.drives() if each["metadata"]["name"] == drive_of(volume))
    device = str(drive["metadata"]["labels"][f"{KEY}/drive-name"])
    old = UpstreamDrive(machines.node(node_of(volume)), device, drive_of(volume), volume["metadata"]["name"], SIZE)
    total = drive["status"]["totalCapacity"]
    overhead = without_set_aside(total, drive["status"]["allocatedCapacity"] - SIZE)
    adopted = Adopted(machines, driver, old)

    async with uninstalled(driver, *SMALL):
        await in_use_under_upstream(space, old, Geometry(total, total - overhead), user)
    before, overhead = overhead, await adopted.check()
    assert before <= overhead <= before + MIB, "XFS reserves blocks for what is being written; none are promised twice"
    await user.check_undisturbed(began)
    await expand(space, LARGER)
    await user.check_undisturbed(began)
    written = await user.written()
    await space.kubectl("delete", "pod", "old")
    assert checked(await fills(space, LARGER, "log")) >= written
    assert adopted.object()["status"]["allocatedCapacity"] == overhead + LARGER

    await space.kubectl("delete", "pvc", "old")
    await adopted.check_deleted(overhead)


@pytest.mark.long
async def test_what_upstream_made_is_adopted_served_expanded_and_deleted_when_directpv_is_installed_over_it(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    node = machines.nodes[0]
    async with uninstalled(driver):
        old, geometry = await used_under_upstream(space, node)

    adopted = Adopted(machines, driver, old)
    overhead = await adopted.check()
    assert await fills(space, SIZE) == CONTENT

    # Upstream once more, now with a pod that writes while one is replaced by the other.
    user = Writer(space, "old")
    began = await user.start_pod()
    await machines.until(user.is_shown_in_use, "the volume is shown to be in use")
    async with uninstalled(driver):
        await in_use_under_upstream(space, old, geometry, user)
    before, overhead = overhead, await adopted.check()
    assert before <= overhead <= before + MIB, "XFS reserves blocks for what is being written; none are promised twice"
    await user.check_undisturbed(began)
    await expand(space, LARGER)
    await user.check_undisturbed(began)
    await space.kubectl("delete", "pod", "old")
    assert await fills(space, LARGER) == CONTENT
    assert adopted.object()["status"]["allocatedCapacity"] == overhead + LARGER
    assert driver.volumes()[old.volume]["metadata"]["labels"][f"{KEY}/tenant"] == "first"

    # A drive that was adopted takes new volumes, beside the old one.
    await space.apply(storage_class("adopted", drive_name=old.device), claim("new", storage_class="adopted"))
    await space.apply(pod("other", ["new"]))
    await space.ready("app=other", 1)
    assert (await space.volumes())["new"]["status"]["fsuuid"] == old.fsuuid

    await space.kubectl("delete", "pod", "other")
    await space.kubectl("delete", "pvc", "old", "new")

    await adopted.check_deleted(overhead)
