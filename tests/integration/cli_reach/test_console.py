"""The console reaches a cluster through kubectl for as long as it runs: a way that is lost is made again."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from directpv_common.bus.connecting import connect_bus
from integration.cli_reach.conftest import Kubectl
from integration.controller.harness import Controller
from integration.controller.node import PlayedNode
from support.console import Inside
from support.nats import NatsServer

BACK_SECONDS = 90.0
"""More than pings, pause and greeting may take together."""
LOST = "Not heard for"


@pytest.fixture
def controller(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    process = Controller(nats, tmp_path_factory.mktemp("controller"))
    try:
        yield process
    finally:
        process.end()


def seen(inside: Inside, what: Callable[[str], bool], why: str, path: str = "") -> str:
    """Look at a page, or else the first, until it says that; return its text."""
    end = time.monotonic() + BACK_SECONDS
    while not what(page := inside.page(path or inside.root)):
        assert time.monotonic() < end, f"{why}: {page}"
        time.sleep(0.2)
    return page


def look_on(kubectl: Kubectl, harm: Callable[[int], None]) -> None:
    """Open the console, harm the kubectl that it goes through, and see it say so and be back through another one."""
    process = kubectl.begin("console", "--no-browser")
    assert process.stdout is not None
    inside = Inside(process.stdout.readline().strip())
    seen(inside, lambda page: LOST not in page and "n1" in page, "the node is shown")
    before, away = kubectl.pid, kubectl.program.with_suffix(".away")
    kubectl.program.rename(away)
    harm(before)
    lost = seen(inside, lambda page: LOST in page, "it says that nothing is heard")
    assert "n1" in lost, "what was heard last is shown"
    away.rename(kubectl.program)
    seen(inside, lambda page: LOST not in page, "it is back")
    assert kubectl.pid != before
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BACK_SECONDS)
    assert process.returncode == 0


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_console_whose_way_into_the_cluster_ends_or_leads_nowhere_says_so_and_takes_another(
    kubectl: Kubectl, nats: NatsServer, number: signal.Signals
) -> None:
    node = PlayedNode("n1")
    node.add_drive()
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus, node.running(bus):
        await asyncio.to_thread(look_on, kubectl, lambda pid: os.kill(pid, number))
    assert kubectl.is_gone


async def test_work_that_runs_when_the_way_into_the_cluster_ends_is_said_to_go_on_there(
    kubectl: Kubectl, nats: NatsServer, controller: Controller
) -> None:
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus, node.running(bus):
        await asyncio.to_thread(cut_off, kubectl, fsuuid)
        (order,) = node.repairs
        assert order.fsuuid == fsuuid


def cut_off(kubectl: Kubectl, fsuuid: str) -> None:
    """Have a drive repaired, and end the kubectl that the console goes through meanwhile."""
    process = kubectl.begin("console", "--no-browser")
    assert process.stdout is not None
    inside = Inside(process.stdout.readline().strip())
    plan = inside.planned("repair", fsuuid)
    work = inside.sent(plan)
    seen(inside, lambda page: "Repairing" in page, "the repair runs", f"{inside.root}drives/{fsuuid}")
    os.kill(kubectl.pid, signal.SIGKILL)
    seen(inside, lambda page: "not followed any more" in page, "it is not called failed", work)
    assert "goes on there" in inside.page(work)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BACK_SECONDS)
    assert process.returncode == 0
