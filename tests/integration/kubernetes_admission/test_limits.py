"""A node or a stranger who sends more than he may is cut off and kept out for a while; others go on meanwhile."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_common.access.limits import TABLE
from directpv_common.access.nkey import Nkey, new_nkey, write_seed
from directpv_common.access.roles import Role
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Refused
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT
from directpv_controller.admission import cutting
from directpv_controller.admission.cutting import BAN_SECONDS
from integration.kubernetes_admission.raw_leaf import raw_leaf
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World
from support.tls import Secured

pytestmark = pytest.mark.timeout(180)
WITHIN = 40
"""Seconds until a flood is cut off; it is looked at each five."""
CALL_SECONDS = 30
"""What a call of CSI has if its caller says nothing else."""


async def listed(_: m.ListDrives) -> m.DrivePage:
    return m.DrivePage(drives=())


class Flood:
    """A process that floods the hub as a node's server until it is cut off."""

    def __init__(self, hub: Secured, seed: Path, node: str, subject: str) -> None:
        program = Path(__file__).with_name("flooding.py")
        arguments = [str(hub.port), hub.authority, str(seed), node, subject]
        top = {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, program, *arguments], stdout=subprocess.PIPE, text=True, env=top
        )

    async def ended(self) -> int:
        """Return how many messages it sent; kills it if it is not cut off."""
        try:
            output, _ = await asyncio.to_thread(self._process.communicate, timeout=WITHIN)
        except subprocess.TimeoutExpired:
            pytest.fail("it was not cut off")
        finally:
            self._process.kill()
            self._process.wait(10)
        return int(json.loads(output)["said"])


async def kept_out(world: World, key: Nkey, node: str) -> None:
    """Wait until a node is not let in: the controllers hear of it one after another."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                async with raw_leaf(world.secured, key, node, within=0) as link:
                    await link.ended(1)
            except AssertionError:
                return


@pytest.mark.parametrize("what", ["heartbeats", "events", "inboxes"])
async def test_a_node_that_floods_is_cut_off_and_kept_out_while_others_go_on(
    world: World, tmp_path: Path, what: str
) -> None:
    async with world.controller() as controller, world.controller() as second:
        (node, key), (other, leaf) = await world.registered_node("n1"), await world.joined("n2")
        subject = {
            "heartbeats": SUBJECTS.state(node),
            "events": SUBJECTS.event(node, "drive", "lost"),
            "inboxes": controller.client.new_inbox(),
        }[what]
        write_seed(tmp_path / "seed", key)
        await controller.subscribe(SUBJECTS.all_states, lambda _: None)
        async with (
            serve(controller, name="c", description="t", queue="q", handlers={Controller.DRIVE_LIST: listed}),
            world.person(world.token(ADMINISTRATOR_ACCOUNT)) as person,
            world.on(leaf, other) as neighbour,
        ):
            assert await heard_by(second, neighbour, SUBJECTS.state(other))
            cut = asyncio.create_task(Flood(world.secured, tmp_path / "seed", node, subject).ended())
            longest = 0.0
            while not cut.done():
                begun = time.monotonic()
                await person.call(Controller.DRIVE_LIST, m.ListDrives(), within=CALL_SECONDS)
                longest = max(longest, time.monotonic() - begun)
            said = await cut
            assert said > TABLE[Role.LEAF].messages
            print(f"{said} messages before it was cut off; a call took {longest:.2f} s at most")
            await kept_out(world, key, node)
            assert await heard_by(second, neighbour, SUBJECTS.state(other))
    assert set(world.cuts) == {"node"}


async def test_who_was_cut_off_comes_in_again_after_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BAN_SECONDS", BAN_SECONDS / 6)
    async with world.controller(), world.controller():
        node, key = await world.registered_node("n1")
        async with raw_leaf(world.secured, key, node) as link:
            async with asyncio.timeout(WITHIN):
                await link.flood(SUBJECTS.state(node))
        await kept_out(world, key, node)
        async with raw_leaf(world.secured, key, node, WITHIN) as again:
            assert not await again.ended(8)


async def test_a_stranger_who_floods_the_door_is_cut_off_and_a_node_registers_meanwhile(world: World) -> None:
    async with world.controller():
        async with world.at_door(new_nkey()) as stranger:
            key = stranger.client._public_nkey
            async with asyncio.timeout(WITHIN):
                while stranger.connected:
                    for _ in range(100):
                        await stranger.client.publish(SUBJECTS.door(str(key)), b"{}", reply=stranger.client.new_inbox())
                    await asyncio.sleep(0.05)
        with pytest.raises(Refused):
            async with world.at_door(new_nkey()):
                pass
    assert "stranger" in world.cuts
