"""Strangers, however many, keep nodes and people waiting for no longer than one of them takes."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directpv_common.access.nkey import new_nkey
from directpv_common.bus.connecting import CONNECT_SECONDS
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, BUS_KEY_LABEL, NODE_ACCOUNT
from directpv_controller.admission import callout
from directpv_controller.registry.kubernetes.apiserver.access import access_of
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource, connect
from integration.kubernetes_admission.raw_leaf import raw_leaf
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World
from support.kube.kubeconfig import Endpoint
from support.proxy import Proxy

STRANGERS = 600
NODES, FEWER = 1_000, 250
"""Servers of nodes that come back at once; 200 of them stand before the door at any time."""


@contextlib.asynccontextmanager
async def knocking(world: World, count: int, options: dict[str, str]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Have many connect who show the same; they do not wait for the answer."""
    writers: list[asyncio.StreamWriter] = []
    readers = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(world.hub.host, world.hub.port)
            writers.append(writer)
            readers.append(reader)
            await reader.readline()
            if "auth_token" in options:
                await writer.start_tls(world.trust.context, server_hostname=world.hub.host)
            writer.write(b"CONNECT %s\r\nPING\r\n" % json.dumps({"verbose": False, **options}).encode())
        yield readers
    finally:
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def slow(world: World) -> AsyncIterator[tuple[Proxy, Path]]:
    """Yield what can make Kubernetes slow, and a kubeconfig that leads through it."""
    proxy = Proxy(world.server.port)
    async with proxy.listening() as port:
        there = Endpoint(f"https://127.0.0.1:{port}", world.server.endpoint.authority)
        yield proxy, there.write(world.directory / "slow.yaml", world.server.pki.client("slow", "system:masters"))


async def keep(world: World, keys: dict[str, str]) -> None:
    """Have keys of nodes kept, as if they had been registered."""
    turns = asyncio.Semaphore(50)
    path = f"/api/v1/namespaces/{world.namespace}/configmaps"

    async def one(client: Client, node: str, key: str) -> None:
        about = {"name": f"bus-key.{node}", "labels": {BUS_KEY_LABEL: "node"}}
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"node": node, "key": key}}
        async with turns:
            await client.create(Resource(path, "configmaps"), item)

    async with connect(access_of(str(world.server.admin)), lambda *_: None) as client, asyncio.TaskGroup() as group:
        for node, key in keys.items():
            group.create_task(one(client, node, key))


@pytest.mark.parametrize("show", ["tokens", "nothing"])
async def test_strangers_about_whom_kubernetes_says_nothing_keep_no_node_waiting(world: World, show: str) -> None:
    options = {"auth_token": "a.b.c"} if show == "tokens" else {}
    async with slow(world) as (proxy, config), world.controller(config):
        node, key = await world.registered_node("n1")
        proxy.seconds = 30.0
        async with knocking(world, STRANGERS, options):
            begun = time.monotonic()
            async with raw_leaf(world.secured, key, node, within=0):
                waited = time.monotonic() - begun
    assert waited < callout.DECIDE_SECONDS


async def test_a_person_comes_in_and_a_node_registers_though_kubernetes_is_slow(world: World) -> None:
    async with slow(world) as (proxy, config), world.controller(config):
        token, key = world.token(ADMINISTRATOR_ACCOUNT), new_nkey()
        shown = world.token(NODE_ACCOUNT, world.pod(world.node("n1")))
        proxy.seconds = 0.8  # three times, for a new connection
        begun = time.monotonic()
        async with world.person(token):
            assert time.monotonic() - begun > CONNECT_SECONDS  # of who is not decided about
        await world.register(key, shown)
    assert world.outcomes == ["admitted", "admitted"]


async def test_who_stands_at_the_door_stays_his_time_though_the_controllers_clock_is_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout, "time", lambda: time.time() - 600)
    async with world.controller():
        assert await world.register(new_nkey(), world.token(NODE_ACCOUNT, world.pod(world.node("n1"))))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [FEWER, pytest.param(NODES, marks=pytest.mark.long)])
async def test_nodes_that_come_back_at_once_are_all_let_in(world: World, count: int) -> None:
    async with world.controller() as controller:
        keys = {f"n{number}": new_nkey() for number in range(count)}
        await keep(world, {node: key.public for node, key in keys.items()})
        begun = time.monotonic()
        turns = asyncio.Semaphore(200)

        async def join(stack: contextlib.AsyncExitStack, name: str) -> None:
            async with turns:
                await stack.enter_async_context(raw_leaf(world.secured, keys[name], name, within=240))

        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(240), asyncio.TaskGroup() as group:
                for name in keys:
                    group.create_task(join(stack, name))
            print(f"{count} nodes let in after {time.monotonic() - begun:.1f} s")
            node, leaf = await world.joined("n1")
            async with world.on(leaf, node) as agent:
                assert await heard_by(controller, agent, SUBJECTS.state(node))
