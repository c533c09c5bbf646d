"""What the plugin shows of drives that are not well, asked as people ask it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from integration.controller.drives import has_status
from integration.controller.harness import Controller, until
from integration.controller.node import PlayedNode
from support.nats import NatsServer

PLUGIN = Path(sys.executable).with_name("kubectl-directpv")


async def plugin(nats: NatsServer, *words: str) -> subprocess.CompletedProcess[str]:
    command = [PLUGIN, "--nats-url", nats.url, *words]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)


async def test_a_lost_drive_is_not_overlooked_though_only_ready_ones_are_listed(
    bus: Bus, controllers: Callable[..., Controller], nats: NatsServer
) -> None:
    controllers()
    node = PlayedNode("n1")
    cause = m.Condition(type=m.ConditionType.LOST, message="no device carries its file system", since="")
    lost = node.add_drive(device="", status=m.DriveStatus.LOST, conditions=(cause,))
    async with node.running(bus):
        await until(lambda: has_status(bus, lost, m.DriveStatus.LOST), "it is known")
        none = await plugin(nats, "list", "drives")
        assert (none.returncode, "1 drive not shown: 1 Lost on n1" in none.stderr) == (0, True), none
        ready = node.add_drive()
        await until(lambda: has_status(bus, ready, m.DriveStatus.READY), "the other one is known")

        listed, every, info = [
            await plugin(nats, *words) for words in (("list", "drives"), ("list", "drives", "--all"), ("info",))
        ]

        assert (listed.stdout.count("Ready"), "1 drive not shown: 1 Lost on n1" in listed.stderr) == (1, True), listed
        said = f"n1/{lost}: DriveLost: {cause.message}"
        assert (said in every.stderr, "not shown" in every.stderr, said in info.stderr) == (True, False, True)
        quiet = await plugin(nats, "--quiet", "list", "drives")
        assert (quiet.returncode, quiet.stderr) == (0, "")


async def test_locate_lights_the_bay_of_the_drive_that_is_named_and_says_where_it_is(
    bus: Bus, controllers: Callable[..., Controller], nats: NatsServer
) -> None:
    controllers()
    node = PlayedNode("n1")
    fsuuid, other = node.add_drive(device="sda"), node.add_drive(device="sdb")
    async with node.running(bus):
        for each in (fsuuid, other):
            await until(lambda each=each: has_status(bus, each, m.DriveStatus.READY), "it is known")
        dry = await plugin(nats, "locate", "n1/sda", "--dry-run")
        lit_before = dict(node.lit)
        lit = await plugin(nats, "locate", "n1/sda")
        after = dict(node.lit)
        out = await plugin(nats, "locate", "n1/sda", "--off")

    assert (dry.returncode, lit_before) == (0, {fsuuid: False})
    assert (lit.returncode, after) == (0, {fsuuid: True})
    assert "Drive n1/sda (serial number S64) is in bay Slot 03, whose light is lit" in lit.stderr
    assert (out.returncode, node.lit) == (0, {fsuuid: False})
    assert "whose light is dark" in out.stderr
