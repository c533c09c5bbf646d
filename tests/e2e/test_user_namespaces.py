"""Pods with ``hostUsers: false`` and fsGroup: kubelet, containerd and runc map the ids of a volume, and its files stay
what pods see of them.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import pytest

from support.kube.api import KubectlError
from support.kube.cluster import OwnCluster
from support.kube.on_disk import place_of
from support.kube.workloads import Object, Space, claim, node_of, pod

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

HANDLER: Final = "own-ids"
"""Of containerd, as node.sh configures it."""
IDS: Final = 65536
"""Of each pod. Source: KubeletConfiguration v1beta1, ``userNamespaces.idsPerPod``."""
GROUP: Final = 2000
MARK: Final = "sleep 86401"


def member(name: str, user: int, group: int = GROUP, **more: object) -> Object:
    """Return a pod with ids of its own whose process is ``user``, and writes and reads the volume by its group.

    It has no token: that is on a tmpfs, whose ids Linux maps from 6.3 on, and guests have 6.1.
    """
    who = {"runAsUser": user, "runAsGroup": user, "fsGroup": group}
    own = {"hostUsers": False, "runtimeClassName": HANDLER, "automountServiceAccountToken": False}
    return pod(name, ["data"], f"umask 002; exec {MARK}", securityContext=who, **{**own, **more})


@contextlib.asynccontextmanager
async def runtime_class(machines: OwnCluster) -> AsyncIterator[None]:
    """Have a class of the handler that starts containers by runc."""
    about = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": HANDLER}, "handler": HANDLER}
    machines.api.apply(about)
    try:
        yield
    finally:
        machines.api.kubectl("delete", "runtimeclass", HANDLER)


async def first_id(space: Space, name: str) -> int:
    """Return which id of the host is 0 in a pod."""
    inside, outside, count = (await space.sh(name, "cat /proc/self/uid_map")).split()
    assert (inside, int(count)) == ("0", IDS)
    return int(outside)


async def test_kubelet_says_that_a_runtime_without_mapped_mounts_cannot_run_a_pod_with_ids_of_its_own(
    machines: OwnCluster, space: Space
) -> None:
    """The usual one of these nodes is crun 1.8.1."""
    await space.apply(claim("data"), member("refused", 1000, runtimeClassName=None))
    print(await space.told("refused", "runtime does not support user namespaces"))


async def test_pods_with_ids_of_their_own_share_a_volume_by_their_group_and_its_drive_has_the_ids_that_pods_see(
    machines: OwnCluster, space: Space
) -> None:
    if not (machines.plane.programs / "runc").exists():
        pytest.skip("runc was not built: apt-get install gcc libc6-dev libseccomp-dev pkgconf")
    async with runtime_class(machines):
        await space.apply(claim("data"), member("first", 1000))
        await space.ready("app=first", 1)
        outside = await first_id(space, "first")
        assert outside >= IDS
        await space.sh("first", "echo first > /data/file; sync /data/file")
        assert await space.sh("first", "stat -c %u:%g /data/file") == f"1000:{GROUP}"

        volume = (await space.volumes())["data"]
        node = machines.node(node_of(volume))
        assert await node.hand.sh(f"stat -c %u:%g {place_of(volume)}/file") == f"1000:{GROUP}"
        (process,) = await node.processes("86401")
        status = (await node.hand.read(f"/proc/{process}/status")).decode()
        assert f"Uid:\t{outside + 1000}\t" in status, "the pod's process is nobody of the host"

        with pytest.raises(KubectlError, match="No space left"):
            await space.sh("first", "dd if=/dev/zero of=/data/large bs=1M count=32")
        await space.sh("first", "rm /data/large")

        await space.apply(member("second", 3000))
        await space.ready("app=second", 1)
        assert abs(await first_id(space, "second") - outside) >= IDS, "no id belongs to both"
        seen = await space.sh("second", "cat /data/file; stat -c %u:%g /data/file; echo second >> /data/file")
        assert seen.splitlines() == ["first", f"1000:{GROUP}"]
        assert await space.sh("first", "cat /data/file") == "first\nsecond"
        await space.sh("second", "mkdir /data/more; echo second > /data/more/file")
        assert await node.hand.sh(f"stat -c %u:%g {place_of(volume)}/more/file") == f"3000:{GROUP}"
        assert await space.sh("first", "cat /data/more/file") == "second"
        await space.kubectl("delete", "pods", "--all")
