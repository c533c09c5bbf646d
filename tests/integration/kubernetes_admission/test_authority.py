"""By which certificate servers are known, as controllers tell it in Kubernetes; and which servers have none yet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from directpv_common.bus.connecting import connect_bus
from directpv_common.process.lifecycle import background
from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.names import BUS_CA, BUS_CA_KEY, BUS_TLS_PORT, NATS_POD, NODE_ACCOUNT, SELECTOR
from directpv_controller.admission.authority import Published
from directpv_controller.registry.kubernetes.apiserver.access import access_of
from directpv_controller.registry.kubernetes.apiserver.client import connect
from integration.kubernetes_admission.world import IMAGE, SUBJECTS, World
from support.nats import NatsServer


@contextlib.asynccontextmanager
async def published(world: World) -> AsyncIterator[Published]:
    def observe(*_: str) -> None: ...

    async with connect(access_of(str(world.server.admin)), observe) as client:
        yield Published(client, world.namespace, world.keys.authority.certificate)


def found(world: World) -> dict[str, str]:
    maps = world.server.objects("configmaps", "-n", world.namespace)
    return next((dict(each["data"]) for each in maps if each["metadata"]["name"] == BUS_CA), {})


async def test_two_controllers_publish_the_same_certificate_without_nats(world: World) -> None:
    world.hub.kill()
    async with published(world) as first, published(world) as second:
        async with background(first.run(), second.run()), asyncio.timeout(30):
            while not found(world):
                await asyncio.sleep(0.1)
        assert found(world) == {BUS_CA_KEY: world.keys.authority.certificate}


@pytest.mark.parametrize("how", ["changed", "deleted"])
async def test_a_certificate_that_somebody_changed_or_deleted_is_published_again(world: World, how: str) -> None:
    async with published(world) as own:
        await own.publish()
        if how == "deleted":
            world.server.delete("configmap", BUS_CA, world.namespace)
        else:
            data = {BUS_CA_KEY: "of somebody else", "more": "x"}
            world.server.change("configmap", BUS_CA, {"data": data}, world.namespace)
        await own.publish()
        assert found(world) == {BUS_CA_KEY: world.keys.authority.certificate}


@pytest.mark.parametrize("known", [True, False])
async def test_a_controller_speaks_without_tls_to_servers_of_which_kubernetes_knows_that_they_have_none(
    world: World, known: bool
) -> None:
    server(world, "nats-0", tls=True)
    if known:
        server(world, "nats-1", tls=False)
    world.hub.kill()
    former = NatsServer(world.directory / "former", world.hub.port)
    former.start()
    try:
        async with published(world) as own:
            bus = connect_bus(former.url, name="c", prefix=SUBJECTS.prefix, within=5, trust=own.trust)
            if known:
                async with bus as connected:
                    assert connected.connected
            else:
                with pytest.raises(Unavailable, match="it has no TLS"):
                    await bus.__aenter__()
    finally:
        former.kill()


def server(world: World, name: str, *, tls: bool) -> None:
    ports = [{"name": "client", "containerPort": 4222}]
    ports += [{"name": BUS_TLS_PORT, "containerPort": 7443}] if tls else []
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": world.namespace, "labels": {SELECTOR: NATS_POD}},
            "spec": {
                "serviceAccountName": NODE_ACCOUNT,
                "automountServiceAccountToken": False,
                "containers": [{"name": "nats", "image": IMAGE, "ports": ports}],
            },
        }
    )
