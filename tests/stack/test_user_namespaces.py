"""Volumes of pods with ``hostUsers: false`` and fsGroup, mounted with mapped ids as container runtimes do it.

No kubelet runs here: what it and the runtime do on the node after NodePublishVolume is done with the same system calls.
"""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.units import MIB
from support.cluster import Cluster, Pod
from support.userns import PodIds

pytestmark = pytest.mark.timeout(240)
USER, GROUP = 1000, 2000
ROOM = 0o2775
"""What kubelet leaves: the group may write, and owns what is made."""


@pytest.fixture
async def volumes(running: Cluster) -> AsyncIterator[list[Path]]:
    """Two volumes at once, published for a pod whose fsGroup kubelet has applied; as a host's process sees them."""
    pods = []
    async with running.csi() as client:
        for name in ("pvc-data", "pvc-log"):
            volume = (await client.controller.CreateVolume(creation(name, 16 * MIB))).volume
            pods.append(Pod(client, volume, running.stack.directory / "pods"))
            await pods[-1].stage()
            await pods[-1].publish()
            os.chown(pods[-1].target, -1, GROUP)
            os.chmod(pods[-1].target, ROOM)
        yield [Path(pod.target) for pod in pods]
        for pod in pods:
            await pod.unpublish()
            await pod.unstage()


@pytest.fixture
def pods() -> Iterator[list[PodIds]]:
    """Two pods, with ids of their own on the host."""
    with contextlib.ExitStack() as stack:
        found = []
        for first in (200_000, 300_000):
            try:
                found.append(PodIds(first))
            except OSError as error:
                pytest.skip(str(error))
            stack.callback(found[-1].close)
        yield found


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may pass."""
    with tempfile.TemporaryDirectory(prefix="directpv-pods-") as path:
        os.chmod(path, 0o755)
        yield Path(path)


async def test_pods_with_ids_of_their_own_share_a_volume_and_have_two_at_once_by_their_fs_group(
    volumes: list[Path], pods: list[PodIds], place: Path
) -> None:
    with contextlib.ExitStack() as stack:
        first, second = (
            [stack.enter_context(pod.mounted(each, place / f"{pod.first}-{each.parent.name}-{number}"))
             for number, each in enumerate(volumes)]
            for pod in pods
        )  # fmt: skip
        for at in first:
            pods[0].run(f"echo first > {at}/file", USER, (GROUP,))
        seen = pods[1].run(f"cat {second[0]}/file; stat -c %u:%g {second[0]}/file", USER + 1, (GROUP,))
        assert seen.splitlines() == ["first", f"{USER}:{GROUP}"], "each pod sees the ids that pods see"
        pods[1].run(f"mkdir {second[0]}/more; echo second > {second[0]}/more/file", USER + 1, (GROUP,))
        assert pods[0].run(f"cat {first[0]}/more/file", USER, (GROUP,)) == "second"
        with pytest.raises(AssertionError, match="Permission denied"):
            pods[1].run(f"echo no > {second[0]}/other", USER + 1, (GROUP + 1,))
    # On the drive are the pods' own ids, none of the host's: the next pod, with others, finds the same.
    for number, at in enumerate(volumes):
        kept = (at / "file").stat()
        assert (kept.st_uid, kept.st_gid) == (USER, GROUP), number
    assert ((volumes[0] / "more/file").stat().st_uid, (volumes[0] / "more").stat().st_gid) == (USER + 1, GROUP)
