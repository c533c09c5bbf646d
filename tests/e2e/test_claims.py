"""What a claim can be: larger later, of one pod alone, read-only, gone with its pod."""

from typing import Final

import pytest

from integration.kubernetes_registry.test_pods import RESERVED
from support.kube.cluster import Cluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.workloads import KEY, Object, Space, claim, claim_spec, drive_of, node_of, pod

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

MIB: Final = 1 << 20
FULL: Final = "No space left on device"
KEPT: Final = RESERVED.keys() - {"pod.name", "pod.namespace"}
"""Labels of a volume's object that mean something to DirectPV, without the prefix; no pod changes them."""


async def _fill(space: Space, name: str, mib: int) -> str:
    """Write a file of so many MiB into /data; return what goes wrong, empty if nothing does."""
    script = f"dd if=/dev/zero of=/data/{name} bs=1M count={mib} conv=fsync"
    done = await space.attempt("main", script)
    return done.stderr if done.returncode else ""


async def _size_in_pod(space: Space) -> int:
    return 1024 * int((await space.sh("main", "df -Pk /data | tail -n 1")).split()[1])


def _not_volumes(driver: Driver, drive: str) -> int:
    """Return how many bytes a drive counts as allocated that are no volume's: its file system's own."""
    (chosen,) = [each for each in driver.drives() if each["metadata"]["name"] == drive]
    volumes = sum(int(each["status"]["totalCapacity"]) for each in driver.volumes().values() if drive_of(each) == drive)
    return int(chosen["status"]["allocatedCapacity"]) - volumes


async def test_a_claim_grows_while_a_pod_writes_and_another_only_reads_and_an_ephemeral_volume_goes_with_its_pod(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    template: Object = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}
    data: Object = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    await space.apply(claim("data", "16Mi"), pod("main", ["data", "scratch"], volumes=[data, template]))
    await space.ready("app=main", 1)
    volumes = await space.bound(["data", "main-scratch"])
    overheads = {drive_of(each): _not_volumes(driver, drive_of(each)) for each in volumes.values()}
    assert await _size_in_pod(space) == 16 * MIB
    assert FULL in await _fill(space, "first", 24)

    await space.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}')
    await cluster.eventually(lambda: _capacity(cluster, space) == "32Mi", "the claim has its new size", within=180)
    assert await _size_in_pod(space) == 32 * MIB
    assert not await _fill(space, "first", 24)
    assert FULL in await _fill(space, "second", 16)
    await space.sh("main", "rm /data/second; echo one > /data/file; sync")

    await space.apply(pod("reader", ["data"], read_only=True))
    await space.ready("app=reader", 1)
    assert await space.sh("reader", "cat /data/file") == "one"
    refused = await space.attempt("reader", "echo two > /data/file")
    assert refused.returncode
    assert "Read-only file system" in refused.stderr

    await space.kubectl("delete", "pod", "main")
    scratch = volumes["main-scratch"]["metadata"]["name"]
    await cluster.eventually(lambda: _is_gone(driver, scratch), "the ephemeral volume is gone", within=240)
    assert (await space.volumes())["data"]["status"]["totalCapacity"] == 32 * MIB
    assert {drive: _not_volumes(driver, drive) for drive in overheads} == overheads


def _capacity(cluster: Cluster, space: Space) -> str:
    (found,) = cluster.api.objects("-n", space.name, "pvc", "--field-selector=metadata.name=data")
    return str(found["status"]["capacity"]["storage"])


def _is_gone(driver: Driver, name: str) -> bool:
    """Tell whether neither a volume of that name is left, nor its reservation."""
    held = [each for drive in driver.drives() for each in drive["metadata"]["finalizers"] if name in each]
    return name not in driver.volumes() and not held


@pytest.mark.long
async def test_a_mounted_volume_grows_by_as_much_as_its_claim_asks(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    await space.apply(claim("data", "16Mi"), pod("main", ["data"]))
    await space.ready("app=main", 1)
    volume = (await space.bound(["data"]))["data"]
    overhead = _not_volumes(driver, drive_of(volume))
    assert await _size_in_pod(space) == 16 * MIB
    assert FULL in await _fill(space, "first", 24)

    await space.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}')
    await cluster.eventually(lambda: _capacity(cluster, space) == "32Mi", "the claim has its new size", within=180)
    assert await _size_in_pod(space) == 32 * MIB
    assert not await _fill(space, "first", 24)
    assert FULL in await _fill(space, "second", 16)
    volume = (await space.volumes())["data"]
    assert volume["status"]["totalCapacity"] == 32 * MIB
    assert _not_volumes(driver, drive_of(volume)) == overhead


@pytest.mark.long
async def test_a_generic_ephemeral_volume_lives_as_long_as_its_pod(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    template: Object = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}
    await space.apply(pod("main", ["data"], volumes=[template]))
    await space.ready("app=main", 1)
    volume = (await space.volumes())["main-data"]
    name, overhead = volume["metadata"]["name"], _not_volumes(driver, drive_of(volume))
    assert not await _fill(space, "file", 4)

    await space.kubectl("delete", "pod", "main")
    await cluster.eventually(lambda: _is_gone(driver, name), "the volume is gone with its reservation", within=240)
    assert _not_volumes(driver, drive_of(volume)) == overhead


@pytest.mark.long
async def test_a_claim_of_one_pod_alone_keeps_a_second_pod_waiting_until_the_first_is_gone(space: Space) -> None:
    await space.apply(claim("data", mode="ReadWriteOncePod"), pod("first", ["data"]))
    await space.ready("app=first", 1)
    await space.sh("first", "echo kept > /data/file; sync")
    await space.apply(pod("second", ["data"]))
    print(await space.told("second", "FailedScheduling", "ReadWriteOncePod"))
    (second,) = await space.objects("pod", "-l", "app=second")
    assert second["status"]["phase"] == "Pending"
    await space.kubectl("delete", "pod", "first")
    await space.ready("app=second", 1)
    assert await space.sh("second", "cat /data/file") == "kept"


async def _options_on_node(space: Space, pod: Object, volume: str) -> list[str]:
    """Return the options of the mount that the driver made for a pod, as the node's agent sees it."""
    agents = await space.kubectl(
        "get", "pods", "-n", NAMESPACE, "-l", f"selector.{KEY}.service=enabled", "-o", "name",
        f"--field-selector=spec.nodeName={pod['spec']['nodeName']}", namespaced=False,
    )  # fmt: skip
    table = await space.kubectl(
        "exec", "-n", NAMESPACE, agents.strip(), "-c", "agent", "--", "cat", "/proc/self/mountinfo", namespaced=False
    )
    lines = [line.split() for line in table.splitlines() if str(pod["metadata"]["uid"]) in line and volume in line]
    assert len(lines) == 1, table
    return lines[0][5].split(",")


@pytest.mark.long
async def test_a_pod_that_mounts_a_claim_read_only_cannot_write_while_another_one_does(space: Space) -> None:
    await space.apply(claim("data"), pod("writer", ["data"]))
    await space.ready("app=writer", 1)
    await space.apply(pod("reader", ["data"], read_only=True))
    (reader,) = await space.ready("app=reader", 1)
    await space.sh("writer", "echo one > /data/file; sync")
    for refused in ("echo two > /data/file", "touch /data/another", "rm /data/file"):
        done = await space.attempt("reader", refused)
        assert done.returncode, refused
        assert "Read-only file system" in done.stderr
    assert await space.sh("reader", "cat /data/file") == "one"
    await space.sh("writer", "echo three > /data/file; sync")
    assert await space.sh("reader", "cat /data/file") == "three"
    # The container's own mount is made by the runtime; here it is asked what the driver did.
    (volume,) = (await space.volumes()).values()
    assert "ro" in await _options_on_node(space, reader, volume["metadata"]["name"])


def _reserved(volume: Object) -> dict[str, str]:
    labels = volume["metadata"]["labels"]
    return {key: labels[f"{KEY}/{key}"] for key in KEPT if f"{KEY}/{key}" in labels}


@pytest.mark.long
async def test_labels_of_a_pod_reach_its_volume_but_never_those_that_direct_it(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    await space.apply(claim("data"), pod("before", ["data"]))
    await space.ready("app=before", 1)
    plain = (await space.bound(["data"]))["data"]
    assert _reserved(plain)["drive"] == drive_of(plain)
    await space.kubectl("delete", "pod", "before")

    other = next(each["metadata"]["name"] for each in driver.drives() if each["metadata"]["name"] != drive_of(plain))
    labels = {f"{KEY}/{key}": value for key, value in {**RESERVED, "drive": other, "tenant": "acme"}.items()}
    await space.apply(pod("main", ["data"], labels=labels))
    await space.ready("app=main", 1)
    assert not await _fill(space, "file", 4)

    def copied() -> Object | None:
        volume = driver.volumes()[plain["metadata"]["name"]]
        assert _reserved(volume) == _reserved(plain)
        assert volume["metadata"]["labels"][f"{KEY}/pod.name"] in ("before", "main")
        return volume if volume["metadata"]["labels"].get(f"{KEY}/tenant") == "acme" else None

    volume = await cluster.eventually(copied, "the volume has its pod's tenant", within=180)
    assert volume["metadata"]["labels"][f"{KEY}/pod.name"] == "main", "pod and labels come together"
    assert node_of(volume) == node_of(plain)

    await space.kubectl("delete", "pod", "main")
    await space.apply(pod("main", ["data"], labels=labels))
    await space.ready("app=main", 1)
    assert await space.sh("main", "wc -c < /data/file") == str(4 * MIB)
    assert not await _fill(space, "file", 4)
    assert copied(), "the tenant was lost"
