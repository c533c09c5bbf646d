"""Election by Lease, fencing by epochs, and an API server that goes away in the middle."""

import asyncio
import signal
import time
from typing import Any, cast

import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import FailedPrecondition
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import Client, connect
from directpv_controller.registry.kubernetes.election import KubernetesElection
from integration.controller.harness import LEASE_SECONDS, until
from integration.controller.node import PlayedNode
from integration.kubernetes_registry.harness import (
    DRIVES,
    GIB,
    VOLUMES,
    Cluster,
    create,
    leads,
    upstream_drive,
    upstream_volume,
    volumes,
)

pytestmark = pytest.mark.timeout(240)

ONE, TWO = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f20"


async def pair(cluster: Cluster, bus: Bus, **settings: object) -> None:
    """A leader ``c1``, and ``c2`` that stands by."""
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    first = cluster.controller("c1", **settings)
    await leads(first)
    second = cluster.controller("c2", **settings)
    await until(lambda: second.said("standing by"), "the second stands by")
    await create(bus, "pvc-first")


async def test_a_killed_leader_is_replaced_when_its_lease_is_over_and_not_a_lease_later(
    cluster: Cluster, bus: Bus
) -> None:
    ttl = 9.0
    await pair(cluster, bus, lease_seconds=ttl)
    first, second = cluster.started
    await asyncio.sleep(2 * ttl / 3)  # the standby has seen the lease for a while
    killed = time.monotonic()
    first.kill()
    await until(lambda: second.said('"leading"'), "the second leads")
    seconds = time.monotonic() - killed
    print(f"take-over after kill -9: {seconds:.2f} s, lease {ttl:g} s")
    assert seconds < 1.5 * ttl
    assert (await create(bus, "pvc-second")).record.fsuuid == ONE
    assert set(await volumes(bus)) == {"pvc-first", "pvc-second"}


async def test_a_new_leader_deletes_no_volume_that_was_in_use_on_a_node_that_is_silent(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, "n1", "pvc-used", free=98 * GIB))
    cluster.objects.call("POST", VOLUMES, upstream_volume("pvc-used", ONE, GIB))
    await leads(cluster.controller("c1"))

    with pytest.raises(FailedPrecondition, match="staged on node n1"):
        await bus.call(Api.VOLUME_DELETE, m.VolumeId(name="pvc-used"), within=20)

    assert (await volumes(bus))["pvc-used"].use.staged == "/var/lib/kubelet/plugins/staging/pvc-used"


async def test_a_node_that_says_that_a_volume_is_unused_is_believed_at_once(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE, "n1", "pvc-used", free=98 * GIB))
    cluster.objects.call("POST", VOLUMES, upstream_volume("pvc-used", ONE, GIB))
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    node.drives[ONE].volumes["pvc-used"] = m.VolumeRecord(name="pvc-used", fsuuid=ONE, capacity=GIB)
    await leads(cluster.controller("c1"))
    async with node.running(bus):
        await until(lambda: not cluster.objects.all(VOLUMES)["pvc-used"]["status"]["stagingTargetPath"], "it is shown")


async def test_a_leader_that_is_asked_to_end_hands_over_at_once(cluster: Cluster, bus: Bus) -> None:
    ttl = 15.0
    await pair(cluster, bus, lease_seconds=ttl)
    first, second = cluster.started
    asked = time.monotonic()
    first.send(signal.SIGTERM)
    await until(lambda: second.said('"leading"'), "the second leads")
    assert time.monotonic() - asked < ttl / 3
    assert cluster.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("how", ["emptied", "deleted"])
async def test_a_lease_that_a_person_takes_away_is_not_taken_before_its_holder_is_over(
    cluster: Cluster, bus: Bus, how: str
) -> None:
    ttl = 3.0
    await pair(cluster, bus, lease_seconds=ttl)
    first, second = cluster.started
    await asyncio.sleep(ttl / 3)  # the standby has seen that it is held
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
    first.send(signal.SIGSTOP)  # it does not notice
    taken = time.monotonic()
    if how == "deleted":
        cluster.objects.call("DELETE", f"{path}/directpv-controller")
    else:
        cluster.objects.change(path, "directpv-controller", lambda lease: lease["spec"].update(holderIdentity=""))
    await until(lambda: second.said('"leading"'), "the second leads")
    assert time.monotonic() - taken >= ttl


class Late:
    """Passes calls on, and keeps back the answers to writes until :attr:`go` is set."""

    def __init__(self, client: Client) -> None:
        self._client, self.get, self.create = client, client.get, client.create
        self.written, self.go = asyncio.Event(), asyncio.Event()

    async def replace(self, *arguments: Any, **more: Any) -> Any:
        stored = await self._client.replace(*arguments, **more)
        self.written.set()
        await self.go.wait()
        return stored


async def test_a_renewal_that_is_answered_after_the_lease_was_given_back_does_not_extend_it(cluster: Cluster) -> None:
    async def confirm(within: float) -> None:
        """Find that all is well."""

    async with connect(from_kubeconfig(cluster.server.admin), lambda *_: None) as client:
        late = Late(client)
        lease = await KubernetesElection(cast(Client, late), cluster.namespace, "x", 3.0, confirm).campaign()
        keeper = asyncio.create_task(lease.keep())
        await late.written.wait()
        release = asyncio.create_task(lease.release())
        await asyncio.sleep(0)
        late.go.set()
        await release
        assert not lease.valid
        await keeper
        assert not lease.valid
    assert cluster.lease["spec"].get("holderIdentity", "") == ""


async def test_a_frozen_leader_writes_nothing_when_it_wakes_up(cluster: Cluster, bus: Bus) -> None:
    await pair(cluster, bus)
    first, second = cluster.started
    frozen = int(cluster.lease["metadata"]["annotations"][crd.EPOCH])
    first.send(signal.SIGSTOP)
    await until(lambda: second.said('"leading"'), "the second leads")
    before = await create(bus, "pvc-while-frozen")
    calls = [asyncio.create_task(create(bus, f"pvc-{n}")) for n in range(40)]
    first.send(signal.SIGCONT)
    made = await asyncio.gather(*calls)

    assert before.record.fsuuid == ONE
    assert len({info.record.name for info in made}) == 40
    await until(lambda: first.said("leading no longer"), "the first knows that it was replaced")
    # not that of the lease: on a busy machine there may have been one more leader, who had nothing to write
    assert all(crd.epoch_of(obj) > frozen for obj in cluster.objects.all(DRIVES).values())
    assert cluster.wrong() == []


async def test_a_write_of_a_later_leader_ends_the_term_of_an_earlier_one(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    made = await create(bus, "pvc-1")

    def by_another(obj: dict) -> None:  # type: ignore[type-arg]
        later = int(obj["metadata"]["annotations"][crd.EPOCH]) + 7
        obj["metadata"]["annotations"][crd.EPOCH] = str(later)

    cluster.objects.change(DRIVES, made.record.fsuuid, by_another)
    await until(lambda: controller.said("leading no longer"), "it steps down")
    assert (await create(bus, "pvc-2")).record.fsuuid == ONE
    assert cluster.wrong() == []


async def test_a_lease_that_was_made_anew_is_ahead_of_what_was_written_before(cluster: Cluster, bus: Bus) -> None:
    drive = upstream_drive(ONE)
    drive["metadata"]["annotations"] = {crd.EPOCH: "9999999999"}
    cluster.objects.call("POST", DRIVES, drive)
    cluster.controller()
    assert (await create(bus, "pvc-1")).record.fsuuid == ONE
    assert crd.epoch_of(cluster.objects.all(DRIVES)[ONE]) == 10**10
    assert cluster.lease["metadata"]["annotations"][crd.EPOCH] == str(10**10)


async def test_an_api_server_that_restarts_costs_no_volume(cluster: Cluster, bus: Bus) -> None:
    node = PlayedNode("n1")
    node.add_drive(fsuuid=ONE)
    cluster.controller("c1", lease_seconds=5.0)
    async with node.running(bus):
        await until(lambda: cluster.objects.find(DRIVES, ONE), "the drive is registered")
        acknowledged: set[str] = set()

        async def work(number: int) -> None:
            info = await create(bus, f"pvc-{number}", GIB // 4, within=60)
            acknowledged.add(info.record.name)

        calls = [asyncio.create_task(work(number)) for number in range(60)]
        await until(lambda: len(acknowledged) > 5, "some are made")
        cluster.server.process.kill()
        await asyncio.sleep(1.0)
        more = [asyncio.create_task(work(number)) for number in range(60, 80)]
        await asyncio.to_thread(cluster.server.start_server)
        await asyncio.gather(*calls, *more)

        assert len(acknowledged) == 80
        assert set(await volumes(bus)) == acknowledged
        await until(lambda: set(node.volumes()) == acknowledged, "the node has them all")
        assert cluster.wrong() == []


async def test_without_an_api_server_nobody_leads_for_longer_than_the_lease(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    await create(bus, "pvc-1")
    cluster.server.process.kill()
    try:
        await until(lambda: controller.said("leading no longer"), "it steps down", 3 * LEASE_SECONDS + 2)
    finally:
        await asyncio.to_thread(cluster.server.start_server)
    assert (await create(bus, "pvc-1", within=30)).record.fsuuid == ONE


@pytest.mark.parametrize("kind", ["volume missing", "reservation missing"])
async def test_what_a_crash_between_two_writes_leaves_is_put_right(cluster: Cluster, bus: Bus, kind: str) -> None:
    """A reservation without volume is given back; a volume without reservation gets one."""
    held = ["pvc-half"] if kind == "volume missing" else []
    drive = upstream_drive(ONE, "n1", *held)
    record = m.DriveRecord(fsuuid=ONE, node="n1", total=100 * GIB, overhead=GIB, device="sdb")
    claim = "0e5f6ab7-6d5d-4a5b-8f61-5d9e4b0c1a2b"
    ours = crd.drive_to_object(record, [crd.Reservation(name, 10 * GIB, claim) for name in held], epoch=5)
    drive["metadata"]["annotations"] = ours["metadata"]["annotations"]
    drive["metadata"]["labels"] |= ours["metadata"]["labels"]
    drive["status"] |= {"freeCapacity": ours["status"]["freeCapacity"]}
    cluster.objects.call("POST", DRIVES, drive)
    if not held:
        volume = m.VolumeRecord(name="pvc-half", fsuuid=ONE, capacity=10 * GIB)
        cluster.objects.call("POST", VOLUMES, crd.volume_to_object(volume, node="n1", device="sdb", epoch=5))
    cluster.controller()

    free = 99 * GIB if held else 89 * GIB
    await until(lambda: cluster.objects.all(DRIVES)[ONE]["status"]["freeCapacity"] == free, "it is put right")
    assert cluster.wrong() == []
    assert not {crd.claim_label(claim)} & cluster.objects.all(DRIVES)[ONE]["metadata"]["labels"].keys()
    wanted = {names.VOLUME_CLAIM_ID: claim} if held else {}
    again = await create(bus, "pvc-half", 10 * GIB, parameters=wanted)
    assert again.record.fsuuid == ONE
    assert cluster.wrong() == []


ABSURD = "9" * 18


def odd(obj: dict[str, Any]) -> None:
    obj["metadata"].setdefault("annotations", {})[crd.EPOCH] = ABSURD


def epochs(cluster: Cluster) -> set[str]:
    """Of all drives and volumes."""
    objects = [*cluster.objects.all(DRIVES).values(), *cluster.objects.all(VOLUMES).values()]
    return {obj["metadata"].get("annotations", {}).get(crd.EPOCH, "") for obj in objects}


async def test_an_absurd_epoch_that_is_found_is_ignored_told_and_put_right_and_fencing_goes_on(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    first = cluster.controller("c1")
    await create(bus, "pvc-1")
    await asyncio.to_thread(first.end)
    cluster.objects.change(DRIVES, ONE, odd)
    cluster.objects.change(VOLUMES, "pvc-1", odd)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
    cluster.objects.change(path, "directpv-controller", odd)

    second = cluster.controller("c2")
    await until(lambda: ABSURD not in epochs(cluster), "the objects are written again")
    epoch = cluster.lease["metadata"]["annotations"][crd.EPOCH]
    assert abs(int(epoch) - time.time()) < 3600
    assert epochs(cluster) == {epoch}
    assert second.said("epoch ignored")

    def by_another(obj: dict[str, Any]) -> None:
        obj["metadata"]["annotations"][crd.EPOCH] = str(int(epoch) + 7)

    cluster.objects.change(DRIVES, ONE, by_another)
    await until(lambda: second.said("leading no longer"), "a later leader's write ends its term")


async def test_an_absurd_epoch_that_somebody_writes_ends_no_term_and_is_put_right(cluster: Cluster, bus: Bus) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    controller = cluster.controller()
    await create(bus, "pvc-1")
    cluster.objects.change(DRIVES, ONE, odd)
    cluster.objects.change(VOLUMES, "pvc-1", odd)

    await until(lambda: ABSURD not in epochs(cluster), "the objects are written again")
    assert (await create(bus, "pvc-2")).record.fsuuid == ONE
    assert controller.said("epoch ignored")
    assert not controller.said("leading no longer")
    assert cluster.wrong() == []
