"""StatefulSets such as MinIO's: several claims of each pod, spread over nodes and drives."""

import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Final

import pytest

from support.kube.cluster import Cluster
from support.kube.driver import Driver
from support.kube.workloads import KEY, Object, Space, claim, drive_of, node_of, stateful_set, storage_class

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

CLAIMS: Final = tuple(f"data-{index}" for index in range(4))
HOSTNAME: Final = "kubernetes.io/hostname"
WRITE: Final = "for each in /data-*; do dd if=/dev/urandom of=$each/object bs=64k count=4 conv=fsync 2>&1; done"
SUMS: Final = "sha256sum /data-*/object"


def _spread(name: str) -> Object:
    """Return what lets pods of one set differ by one at most between nodes."""
    chosen = {"matchLabels": {"app": name}}
    rule = {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": chosen}
    return {"topologySpreadConstraints": [rule]}


def _apart(name: str) -> Object:
    """Return what keeps pods of one set on nodes of their own."""
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": name}}}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def _claims(name: str, replicas: int, claims: Iterable[str]) -> list[str]:
    return [f"{each}-{name}-{ordinal}" for ordinal in range(replicas) for each in claims]


def _require_apart(volumes: dict[str, Object], pods: int) -> None:
    """Assert that no two claims of one pod share a drive, whatever is free there."""
    for ordinal in range(pods):
        drives = {claim: drive_of(each) for claim, each in volumes.items() if claim.endswith(f"-{ordinal}")}
        assert len(set(drives.values())) == len(drives) == len(CLAIMS), drives


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.long)])
async def test_a_pods_claims_lie_on_different_drives_and_keep_their_files_when_all_of_a_set_are_killed(
    driver: Driver, space: Space, replicas: int
) -> None:
    await space.apply(stateful_set("minio", replicas, CLAIMS, **_spread("minio")))
    pods = await space.ready("app=minio", replicas)
    volumes = await space.bound(_claims("minio", replicas, CLAIMS))
    assert len(volumes) == replicas * len(CLAIMS)
    on_nodes = Counter(pod["spec"]["nodeName"] for pod in pods)
    assert len(on_nodes) == min(replicas, len(set(map(node_of, driver.drives("Ready"))))), on_nodes
    assert max(on_nodes.values()) - min(on_nodes.values()) <= 1, on_nodes
    _require_apart(volumes, replicas)

    names = [str(pod["metadata"]["name"]) for pod in pods]
    await space.sh_in_all(names, WRITE)
    sums = await space.sh_in_all(names, SUMS)
    assert len({line.split()[0] for each in sums.values() for line in each.splitlines()}) == len(volumes)
    await space.kubectl("delete", "pod", *names, "--grace-period=0", "--force")
    again = await space.ready("app=minio", replicas)
    assert not {pod["metadata"]["uid"] for pod in pods} & {pod["metadata"]["uid"] for pod in again}
    assert await space.sh_in_all(names, SUMS) == sums
    assert {name: drive_of(each) for name, each in (await space.volumes()).items()} == {
        name: drive_of(each) for name, each in volumes.items()
    }


@pytest.mark.long
async def test_a_claim_id_gives_each_volume_a_drive_of_its_own_and_one_too_many_waits_for_a_drive(
    cluster: Cluster, driver: Driver, space: Space
) -> None:
    drives = driver.drives("Ready")
    nodes = {each["metadata"]["labels"][f"{KEY}/node"] for each in drives}
    replicas, claims = len(nodes), CLAIMS[: len(drives) // len(nodes)]
    identity, late, at_once = str(uuid.uuid4()), f"{space.name}-late", f"{space.name}-now"
    await space.apply(
        storage_class(late, volume_claim_id=identity),
        storage_class(at_once, binding="Immediate", volume_claim_id=identity),
        stateful_set("minio", replicas, claims, storage_class=late, **_apart("minio")),
    )
    await space.ready("app=minio", replicas)
    volumes = await space.bound(_claims("minio", replicas, claims))
    assert len({drive_of(each) for each in volumes.values()}) == len(volumes) == len(drives)

    await space.apply(claim("spare", storage_class=at_once))
    reason = await space.told("spare", "ResourceExhausted", f"with a volume of claim {identity}")
    print(reason)
    (spare,) = await space.objects("pvc", "--field-selector=metadata.name=spare")
    assert spare["status"]["phase"] == "Pending"

    await space.kubectl("scale", "statefulset", "minio", f"--replicas={replicas - 1}")
    given = f"{claims[0]}-minio-{replicas - 1}"
    await space.kubectl("delete", "pvc", given, within=120)
    # The provisioner asks again after as long as it has tried already, and at least that.
    found = await space.bound(["spare"], within=300)
    assert drive_of(found["spare"]) == drive_of(volumes[given])
