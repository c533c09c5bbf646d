"""During an upgrade: pods of the version before show nothing, and are let in by their address until they are gone."""

import asyncio

import pytest

from directpv_common.access.nkey import Nkey, new_nkey
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.errors import Refused
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, NODE_ACCOUNT
from integration.access.test_roles import Ear
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World
from support.nats import NatsServer

HERE = "127.0.0.1"


async def test_a_former_nodes_server_is_let_in_with_its_nodes_part(world: World) -> None:
    node, other = world.node("n1"), world.node("n2")
    world.pod(node, former=True, address=HERE)
    async with world.controller() as controller, world.root() as root:
        leaf = world.leaf(node, None)
        async with world.on(leaf, node) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            ear = Ear(root)
            await ear.listen(f"{SUBJECTS.prefix}.>")
            for subject in (SUBJECTS.state(other), SUBJECTS.node(other, "device", "format")):
                await agent.client.publish(subject, b"{}")
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            assert await ear.everything() <= {SUBJECTS.state(node)}


@pytest.mark.parametrize("what", ["of this version", "of another node", "ended", "of nobody"])
async def test_nobody_else_comes_in_by_his_address(world: World, what: str) -> None:
    node, other = world.node("n1"), world.node("n2")
    if what == "of this version":
        world.pod(node, address=HERE)
    elif what == "of another node":
        world.pod(other, former=True, address=HERE)
    elif what == "ended":
        pod = world.pod(node, former=True, address=HERE)
        world.server.change("pod", pod, {"status": {"phase": "Failed"}}, world.namespace, "status")
    async with world.controller() as controller:
        ear = Ear(controller)
        await ear.listen(SUBJECTS.all_states)
        leaf = world.leaf(node, None)
        async with world.on(leaf, node) as agent:
            async with asyncio.timeout(20):
                while "refused" not in world.outcomes:
                    await asyncio.sleep(0.1)
            await agent.client.publish(SUBJECTS.state(node), b"{}")
            await agent.client.flush()
        assert await ear.everything() == set()
        with pytest.raises(Refused):
            async with world.person(""):
                raise AssertionError("it was let in")
    assert "admitted" not in world.outcomes


async def test_a_node_that_has_its_key_works_with_servers_that_do_not_ask_yet_and_with_those_that_do(
    world: World,
) -> None:
    world.hub.kill()
    former = NatsServer(world.directory / "former", world.hub.port, leafs=True)
    former.leaf_port = world.hub.leaf_port
    former.start()
    node, key = world.node("n1"), new_nkey()
    leaf = world.leaf(node, key, tls=False)
    async with world.on(leaf, node) as agent:
        try:
            async with world.root() as anybody:
                assert await heard_by(anybody, agent, SUBJECTS.state(node))
        finally:
            former.kill()
        world.hub.start()
        async with world.controller() as controller:
            pod = world.pod(node, tls=False, address=HERE)
            await world.register(key, world.token(NODE_ACCOUNT, pod))
            assert await heard_by(controller, agent, SUBJECTS.state(node))


async def test_a_node_of_a_version_without_tls_and_one_of_this_version_work_beside_each_other(world: World) -> None:
    (former, old), (node, key) = await _registered(world, "n1"), await _registered(world, "n2")
    world.pod(former, tls=False, address=HERE)
    leafs = {former: world.leaf(former, old, tls=False), node: world.leaf(node, key)}
    async with world.controller() as controller:
        for name, leaf in leafs.items():
            async with world.on(leaf, name) as agent:
                assert await heard_by(controller, agent, SUBJECTS.state(name))


async def test_nobody_speaks_in_clear_once_the_last_pod_without_tls_is_gone(world: World) -> None:
    node, key = await _registered(world, "n1")
    pod = world.pod(node, tls=False, address=HERE)
    async with world.controller() as controller:
        leaf = world.leaf(node, key, tls=False)
        async with world.on(leaf, node) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            world.server.delete("pod", pod, world.namespace)
            world.pod(node, address=HERE)
            async with asyncio.timeout(60):
                while "node" not in world.cuts:
                    await asyncio.sleep(0.1)
            assert not await heard_by(controller, agent, SUBJECTS.state(node), within=5)
        assert len(world.cuts) == 1
        for shown in ({"nkey": new_nkey()}, {"token": world.token(ADMINISTRATOR_ACCOUNT)}):
            with pytest.raises(Refused):
                async with connect_bus(world.hub.url, name="t", prefix=SUBJECTS.prefix, **shown):  # type: ignore[arg-type]
                    raise AssertionError("it was let in")
        async with world.person(world.token(ADMINISTRATOR_ACCOUNT)), world.at_door(new_nkey()):
            pass


async def _registered(world: World, name: str) -> tuple[str, Nkey]:
    async with world.controller():
        return await world.registered_node(name)
