"""What a node's server can say to others and hear from them, whether it keeps to the rules or not: its node's part."""

import asyncio

import nats.errors
import pytest

import directpv_common.protocol.messages as m
from directpv_common.access.nkey import Nkey, new_nkey
from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events, ensure_stream
from directpv_common.bus.service import serve
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.names import NODE_ACCOUNT
from directpv_common.protocol.subjects import node_token
from integration.access.test_roles import JETSTREAM, OTHERS, Ear, endpoints
from integration.kubernetes_admission.raw_leaf import raw_leaf
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World

SYSTEM = ("$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING", "$JS.directpv.API.STREAM.DELETE.x")
OWN_SECONDS = 20


def orders(node: str) -> list[str]:
    return [SUBJECTS.node(node, each.noun, each.verb) for each in endpoints(Node).values()]


def told(node: str) -> set[str]:
    return {SUBJECTS.event(node, "drive", "lost"), SUBJECTS.state(node), SUBJECTS.metrics(node)}


def everything(*nodes: str) -> list[str]:
    controller = [SUBJECTS.controller(each.noun, each.verb) for each in endpoints(Controller).values()]
    of_nodes = [subject for node in nodes for subject in (*orders(node), *told(node))]
    shared = [SUBJECTS.leader, SUBJECTS.roll_call, SUBJECTS.door(new_nkey().public)]
    through = [subject.replace("$JS.", "$JS.directpv.") for subject in JETSTREAM.values()]
    return [*controller, *of_nodes, *shared, *JETSTREAM.values(), *through, *OTHERS, *SYSTEM]


async def registered(world: World, name: str) -> tuple[str, Nkey]:
    node, key = world.node(name), new_nkey()
    await world.register(key, world.token(NODE_ACCOUNT, world.pod(node)))
    return node, key


async def ears(root: Bus) -> Ear:
    ear = Ear(root)
    await ear.listen(f"{SUBJECTS.prefix}.>", "$JS.>", "somewhere.>", "$SYS.REQ.>")
    return ear


async def test_programs_of_a_node_say_and_hear_its_own_part_through_its_server(world: World) -> None:
    async with world.controller() as controller, world.root() as root:
        node, leaf = await world.joined("n1")
        other = world.node("n2")
        async with world.on(leaf, node) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            ear = await ears(root)
            after = f"_INBOX.{node_token(node)}.after"  # comes there after word of what root wants to hear
            assert await heard_by(agent, root, after)
            for subject in everything(node, other):
                await agent.client.publish(subject, b"{}")
            await agent.client.flush()
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            heard = await ear.everything()
            assert heard & set(everything(node, other)) == told(node)

            mine = Ear(agent)
            await mine.listen(">", *everything(node, other))
            wanted = "_INBOX.of-root.after"  # comes there after word of what the agent wants to hear
            assert await heard_by(root, agent, wanted)
            for subject in everything(node, other):
                await root.client.publish(subject, b"{}")
            last = SUBJECTS.node(node, "node", "get")
            assert await heard_by(agent, root, last)
            assert await mine.everything() - {wanted} == {*orders(node), SUBJECTS.leader, SUBJECTS.roll_call}


async def test_a_server_that_keeps_to_no_rules_says_and_hears_nothing_else(world: World) -> None:
    async with world.controller() as controller, world.root() as root:
        node, key = await registered(world, "n1")
        other = world.node("n2")
        inboxes = [controller.client.new_inbox(), f"_INBOX.{other.replace('.', '_')}.x"]
        ear = await ears(root)
        asked = await root.client.subscribe("$SYS.REQ.USER.AUTH")
        for subject in (*everything(node, other), "$SYS.REQ.USER.AUTH"):  # what it may not ends its connection
            async with raw_leaf(world.secured, key, node) as leaf:
                await leaf.publish(subject, b"of a leaf")
                await leaf.heard()
        await root.client.flush()
        while asked.pending_msgs:
            assert (await asked.next_msg()).data != b"of a leaf"
        assert await ear.everything() & set(everything(node, other)) == told(node)

        heard = set()
        for wish in (">", "*.*.>", *everything(node, other), *inboxes, "_INBOX.>"):
            async with raw_leaf(world.secured, key, node) as leaf:
                await leaf.subscribe(wish)
                await leaf.heard()
                for subject in (*everything(node, other), *inboxes):
                    await root.client.publish(subject, b"{}")
                await root.client.flush()
                heard |= await leaf.heard()
        assert heard & {*everything(node, other), *inboxes} == {*orders(node), SUBJECTS.leader, SUBJECTS.roll_call}


async def test_a_node_is_asked_and_answers_and_tells_events_through_its_server(world: World) -> None:
    async def devices(_: m.Empty) -> m.DeviceList:
        return m.DeviceList(node="n", devices=())

    async with world.controller() as controller, world.root() as root:
        node, leaf = await world.joined("n1")
        async with world.on(leaf, node) as agent:
            about = {"name": "directpv-nodeagent", "description": "test", "queue": "q", "node": node}
            async with serve(agent, handlers={Node.DEVICE_LIST: devices}, **about):
                found = await controller.call(Node.DEVICE_LIST, m.Empty(), node=node, within=OWN_SECONDS)
                assert found.node == "n"
                assert (await root.client.request("$SRV.PING.directpv-nodeagent", b"", timeout=5)).data
            events = Events(agent, node)
            async with background(events.run()):
                events.emit("drive", "lost", "d1")
                async with asyncio.timeout(OWN_SECONDS):
                    while (info := await ensure_stream(controller)) is None or not info.state.messages:
                        await asyncio.sleep(0.1)


async def test_a_node_cannot_ask_another_one_nor_the_controller(world: World) -> None:
    async with world.controller() as controller:
        (one, first), (two, second) = await world.joined("n1"), await world.joined("n2")
        async with world.on(first, one) as agent, world.on(second, two) as other:
            assert await heard_by(controller, agent, SUBJECTS.state(one))
            assert await heard_by(controller, other, SUBJECTS.state(two))

            async def devices(_: m.Empty) -> m.DeviceList:
                raise AssertionError("it was asked")

            async with serve(
                other, name="n", description="t", queue="q", node=two, handlers={Node.DEVICE_LIST: devices}
            ):
                for endpoint, node in ((Node.DEVICE_LIST, two), (Controller.NODE_LIST, None)):
                    request: object = m.Empty() if node else m.ListNodes()
                    with pytest.raises(Unavailable):
                        await agent.call(endpoint, request, node=node, within=2)  # type: ignore[arg-type]
                for subject in ("$JS.API.STREAM.CREATE.x", f"$JS.API.STREAM.DELETE.{SUBJECTS.stream}"):
                    with pytest.raises(nats.errors.Error):
                        await agent.client.request(subject, b"{}", timeout=2)
