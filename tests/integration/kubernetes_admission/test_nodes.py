"""A node shows once who it is, and its server then says and hears what is its own, and nothing else."""

import asyncio

import pytest

from directpv_common.access.nkey import new_nkey
from directpv_common.bus.bus import Bus
from directpv_common.protocol.errors import Conflict, FailedPrecondition, Refused, Unavailable
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, NODE_ACCOUNT
from integration.access.test_roles import Ear
from integration.kubernetes_admission.world import SUBJECTS, World

SECONDS = 60


async def heard_by(bus: Bus, say: Bus, subject: str, within: int = SECONDS) -> bool:
    """Tell whether ``bus`` hears within some seconds what is said again and again."""
    listening = await bus.client.subscribe(subject)
    await bus.client.flush()
    try:
        for _ in range(within * 10):
            await say.client.publish(subject, b"{}")
            await say.client.flush()
            if listening.pending_msgs:
                return True
            await asyncio.sleep(0.1)
        return False
    finally:
        await listening.unsubscribe()


async def test_a_node_that_showed_its_pods_token_comes_in_and_its_neighbour_does_not(world: World) -> None:
    async with world.controller() as controller:
        node, leaf = await world.joined("n1")
        stranger = world.node("n2")
        other = world.leaf(stranger, new_nkey())
        async with world.on(leaf, node) as agent, world.on(other, stranger) as unknown:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            ear = Ear(controller)
            await ear.listen(SUBJECTS.state(stranger))
            await unknown.client.publish(SUBJECTS.state(stranger), b"{}")
            await unknown.client.flush()
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            assert await ear.everything() == set()
    assert list(world.registered()) == [node]
    assert "refused" in world.outcomes


async def test_a_node_is_let_in_from_memory_while_kubernetes_is_away(world: World) -> None:
    async with world.controller() as controller:
        node, leaf = await world.joined("n1")
        async with world.on(leaf, node) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            world.server.process.kill()
            try:
                leaf.kill()
                leaf.start()
                async with world.on(leaf, node) as again:
                    assert await heard_by(controller, again, SUBJECTS.state(node))
            finally:
                world.server.start_server()


async def test_another_controller_knows_the_nodes_that_the_first_registered(world: World) -> None:
    async with world.controller():
        node, leaf = await world.joined("n1")
    leaf.kill()
    leaf.start()
    async with world.controller() as second, world.on(leaf, node) as agent:
        assert await heard_by(second, agent, SUBJECTS.state(node))


async def test_a_node_that_lost_its_key_registers_a_new_one_and_the_old_one_is_nobodys(world: World) -> None:
    async with world.controller():
        node = world.node("n1")
        first, second = new_nkey(), new_nkey()
        for key in (first, second):
            assert await world.register(key, world.token(NODE_ACCOUNT, world.pod(node))) == node
        assert world.registered() == {node: second.public}
        # the former key is a stranger's: it may stand at the door, and nothing else
        assert await world.register(first, world.token(NODE_ACCOUNT, world.pod(node))) == node


async def test_a_pod_registers_one_key_in_its_life_and_who_overheard_its_token_no_other(world: World) -> None:
    async with world.controller(), world.controller():
        node, first, second = world.node("n1"), new_nkey(), new_nkey()
        token = world.token(NODE_ACCOUNT, world.pod(node))
        for _ in range(2):
            assert await world.register(first, token) == node
        with pytest.raises(FailedPrecondition, match="has registered another key"):
            await world.register(second, token)
        assert world.registered() == {node: first.public}
        assert await world.register(second, world.token(NODE_ACCOUNT, world.pod(node))) == node
    assert world.registered() == {node: second.public}


async def test_a_key_that_was_revoked_is_not_registered_again_before_the_node_has_another_pod(world: World) -> None:
    async with world.controller():
        node, first, second = world.node("n1"), new_nkey(), new_nkey()
        token = world.token(NODE_ACCOUNT, world.pod(node))
        await world.register(first, token)
        world.change_kept(node, {"data": {"key": ""}})
        for key in (first, second):
            with pytest.raises(FailedPrecondition, match="revoked"):
                await world.register(key, token)
        assert await world.register(second, world.token(NODE_ACCOUNT, world.pod(node))) == node


async def test_a_key_that_a_version_before_kept_is_replaced_by_any_pod_of_the_node(world: World) -> None:
    async with world.controller():
        node, first, second = world.node("n1"), new_nkey(), new_nkey()
        token = world.token(NODE_ACCOUNT, world.pod(node))
        await world.register(first, token)
        world.change_kept(node, {"data": {"pod": None}})
        assert await world.register(second, token) == node


async def test_a_key_is_not_two_nodes(world: World) -> None:
    async with world.controller():
        key, one, two = new_nkey(), world.node("n1"), world.node("n2")
        await world.register(key, world.token(NODE_ACCOUNT, world.pod(one)))
        async with world.controller():
            pass
    async with world.controller():
        with pytest.raises((Conflict, Refused)):
            await world.register(key, world.token(NODE_ACCOUNT, world.pod(two)))
    assert world.registered() == {one: key.public}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no token", "does not accept"),
        ("for another audience", "does not accept"),
        ("of another account", "not of the node's pods"),
        ("of an administrator", "not of the node's pods"),
        ("bound to no pod", "bound to no pod"),
        ("of a pod that is gone", "does not accept"),
        ("expired", "expired"),
        ("of a clock ten minutes ahead", "not valid yet"),
    ],
)
async def test_who_shows_another_token_is_told_what_is_wrong_with_it(world: World, what: str, says: str) -> None:
    node = world.node("n1")
    pod = world.pod(node)
    if what == "no token":
        token = "not.a.token"
    elif what == "for another audience":
        token = world.token(NODE_ACCOUNT, pod, audience="https://kubernetes.default.svc")
    elif what == "of another account":
        token = world.token("other", world.pod(node, account="other"))
    elif what == "of an administrator":
        token = world.token(ADMINISTRATOR_ACCOUNT)
    elif what in ("expired", "of a clock ten minutes ahead"):
        token = world.forged(world.token(NODE_ACCOUNT, pod), -3600 if what == "expired" else 600)
    elif what == "bound to no pod":
        token = world.token(NODE_ACCOUNT)
    else:
        token = world.token(NODE_ACCOUNT, pod)
        world.server.delete("pod", pod, world.namespace)
    async with world.controller():
        with pytest.raises(FailedPrecondition, match=says):
            await world.register(new_nkey(), token)
    assert world.registered() == {}


async def test_who_stands_at_the_door_can_register_his_own_key_alone_and_hears_nothing(world: World) -> None:
    async with world.controller() as controller:
        node, leaf = await world.joined("n1")
        async with world.at_door(new_nkey()) as stranger, world.on(leaf, node) as agent:
            ear = Ear(stranger)
            await ear.listen(">", SUBJECTS.door("*"), "_INBOX.>", SUBJECTS.state(node), "$SYS.>")
            everything = Ear(controller)
            await everything.listen(SUBJECTS.door("*"), f"{SUBJECTS.prefix}.ctl.*.*", SUBJECTS.all_states)
            for subject in (
                SUBJECTS.door(new_nkey().public),
                SUBJECTS.state(node),
                SUBJECTS.controller("drive", "init"),
                SUBJECTS.node(node, "device", "format"),
                "$SYS.REQ.USER.AUTH",
            ):
                await stranger.client.publish(subject, b"{}")
            await stranger.client.flush()
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            assert await ear.everything() == set()
            assert await everything.everything() <= {SUBJECTS.state(node)}


async def test_a_server_that_shows_the_key_of_another_node_is_not_let_in(world: World) -> None:
    async with world.controller() as controller:
        one, two, key = world.node("n1"), world.node("n2"), new_nkey()
        await world.register(key, world.token(NODE_ACCOUNT, world.pod(one)))
        ear = Ear(controller)
        await ear.listen(SUBJECTS.all_states)
        leaf = world.leaf(two, key)
        async with world.on(leaf, two) as agent:
            async with asyncio.timeout(SECONDS):
                while "refused" not in world.outcomes:
                    await asyncio.sleep(0.1)
            for node in (one, two):
                await agent.client.publish(SUBJECTS.state(node), b"{}")
            await agent.client.flush()
        await controller.client.flush()
        assert await ear.everything() == set()


async def test_a_node_that_is_deleted_in_kubernetes_takes_its_key_with_it(world: World) -> None:
    async with world.controller():
        node, _ = await world.joined("n1")
        found = world.server.objects("configmaps", "-n", world.namespace)
        owners = [owner for each in found for owner in each["metadata"].get("ownerReferences", ())]
    assert [(owner["kind"], owner["name"]) for owner in owners] == [("Node", node)]


async def test_nobody_is_let_in_who_is_not_decided_about(world: World) -> None:
    with pytest.raises(Unavailable):
        async with world.at_door(new_nkey(), within=15):  # three times as long as a server waits for an answer
            raise AssertionError("it was let in")
