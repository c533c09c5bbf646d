"""Who may not be there any more is cut off, though NATS asks about nobody who is in; and nobody else is."""

import asyncio
import contextlib
from typing import Any

import pytest

from directpv_common.access.nkey import new_nkey
from directpv_common.process.lifecycle import background
from directpv_common.protocol.names import NODE_ACCOUNT
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.cutting import Cutting
from directpv_controller.registry.kubernetes.apiserver.access import access_of
from directpv_controller.registry.kubernetes.apiserver.client import connect
from integration.kubernetes_admission.raw_leaf import raw_leaf
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World

pytestmark = pytest.mark.timeout(180)
WITHIN = 60
"""Seconds: what is promised."""


@pytest.mark.parametrize("how", ["replaced", "deleted", "emptied", "given to another"])
async def test_a_node_is_cut_off_within_a_minute_of_the_end_of_its_key(world: World, how: str) -> None:
    async with world.controller() as controller:
        (node, first), other = await world.registered_node("n1"), world.node("n2")
        neighbour, leaf = await world.joined("n3")
        async with raw_leaf(world.secured, first, node) as link, world.on(leaf, neighbour) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(neighbour))
            async with asyncio.timeout(WITHIN):
                if how == "replaced":
                    await world.register(new_nkey(), world.token(NODE_ACCOUNT, world.pod(node)))
                else:
                    patch: dict[str, Any] = {"emptied": {"data": None}, "given to another": {"data": {"node": other}}}
                    world.change_kept(node, patch.get(how))
                assert await link.ended(WITHIN)
            assert await heard_by(controller, agent, SUBJECTS.state(neighbour))
    assert set(world.cuts) == {"node"}
    assert len(world.leafs) == 1


async def test_what_became_of_a_key_while_nobody_guarded_is_seen_by_the_next_who_does(world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with world.controller():
            node, key = await world.registered_node("n1")
            link = await stack.enter_async_context(raw_leaf(world.secured, key, node))
        world.change_kept(node, None)
        async with world.controller():
            assert await link.ended(WITHIN)


async def test_a_controller_that_knows_less_than_kubernetes_cuts_nobody_off(world: World) -> None:
    cuts: list[str] = []
    async with world.controller(), world.root() as root:
        node, key = await world.registered_node("n1")
        async with (
            raw_leaf(world.secured, key, node) as link,
            connect(access_of(str(world.server.admin)), _quiet) as api,
        ):
            behind = Cutting(world.warden, Answers(api, world.namespace), NodeKeys(), SUBJECTS, cuts.append)
            async with world.warden() as bus:
                await behind.look(bus)
            await root.client.publish(SUBJECTS.leader, b"{}")
            await root.client.flush()
            assert await link.heard() == set()
            assert not await link.ended(1)
    assert cuts == []


async def test_while_kubernetes_does_not_answer_nobody_is_cut_off(world: World) -> None:
    async with world.controller():
        node, key = await world.registered_node("n1")
        async with (
            raw_leaf(world.secured, key, node) as link,
            connect(access_of(str(world.server.admin)), _quiet) as api,
        ):
            world.server.process.kill()
            try:
                cutting = Cutting(world.warden, Answers(api, world.namespace), NodeKeys(), SUBJECTS, world.cuts.append)
                cutting.changed.set()
                async with background(cutting.run()):
                    assert not await link.ended(8)
            finally:
                world.server.start_server()
    assert world.cuts == []


async def test_a_pod_of_the_version_before_is_cut_off_when_its_node_is_lost_and_comes_in_when_it_is_back(
    world: World,
) -> None:
    node = world.node("n1")
    world.pod(node, former=True, address="127.0.0.1")
    async with world.controller() as controller:
        leaf = world.leaf(node, None)
        async with world.on(leaf, node) as agent:
            assert await heard_by(controller, agent, SUBJECTS.state(node))
            world.lose(node)
            async with asyncio.timeout(WITHIN):
                while "former-node" not in world.cuts:
                    await asyncio.sleep(0.1)
            assert not await heard_by(controller, agent, SUBJECTS.state(node), within=5)
            world.lose(node, "True")
            assert await heard_by(controller, agent, SUBJECTS.state(node), within=WITHIN)


def _quiet(*_: str) -> None: ...
