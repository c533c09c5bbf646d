"""The secret of the bus is replaced while everybody works: no call fails, nobody waits long, the former one ends."""

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.access.installation import ALSO, Keys, certificates_of, read_keys
from directpv_common.access.nkey import kept_key
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus, node_inbox
from directpv_common.bus.events import ensure_stream
from directpv_common.bus.greeting import outdated
from directpv_common.bus.service import serve
from directpv_common.bus.trust import Trust
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import FailedPrecondition, Refused, Unavailable
from directpv_controller.admission.callout import Callout
from directpv_controller.admission.core.keys import NodeKeys
from integration.kubernetes_install.hub_servers import NODE, SECRET, SUBJECTS, Servers

OTHER = "of the same test, another " * 4
CALL_SECONDS = 30.0
"""What a call of CSI has if its caller says nothing else."""
STEPS = ((SECRET, OTHER), (OTHER, SECRET), (OTHER, ""))


async def listed(_: m.ListDrives) -> m.DrivePage:
    return m.DrivePage(drives=())


async def devices(_: m.Empty) -> m.DeviceList:
    return m.DeviceList(node=NODE, devices=())


class Program:
    """Something that is replaced by another of its kind, which is there before the former goes."""

    def __init__(self, make: Callable[[], "contextlib.AbstractAsyncContextManager[Bus]"]) -> None:
        self._make = make
        self._stack = contextlib.AsyncExitStack()
        self.bus: Bus | None = None

    async def calls(self, call: Callable[[Bus], Awaitable[object]]) -> None:
        """Have it call; what a program that was replaced had begun, its successor's caller asks for again."""
        while True:
            bus = self.bus
            assert bus is not None
            try:
                await call(bus)
            except Unavailable:
                if self.bus is bus:
                    raise
            else:
                return

    async def replace(self) -> None:
        """Replace it, as a Deployment does its pods."""
        stack = contextlib.AsyncExitStack()
        former, self.bus = self._stack, await stack.enter_async_context(self._make())
        self._stack = stack
        await former.aclose()

    async def end(self) -> None:
        await self._stack.aclose()


class Installation:
    """Three servers, a node, two controllers, a gateway of theirs, and what they have of the secret."""

    def __init__(self, directory: Path) -> None:
        self.servers = Servers(directory, 3)
        self.urls = ",".join(f"nats://127.0.0.1:{self.servers.ports[f'client-{index}']}" for index in range(3))

    @property
    def keys(self) -> tuple[Keys, ...]:
        return read_keys(str(self.servers.secret))

    def has(self, used: str, also: str) -> None:
        self.servers.secret.write_text(used)
        beside = self.servers.secret.with_name(ALSO)
        beside.write_text(also)
        if not also:
            beside.unlink()

    def publish(self) -> None:
        """Do as controllers do."""
        self.servers.authority.write_text(certificates_of(self.keys))

    def connected(self, which: str, **more: Any) -> "contextlib.AbstractAsyncContextManager[Bus]":
        keys = self.keys
        nkey = getattr(keys[0], which)
        trust = Trust(certificates_of(keys))
        return connect_bus(self.urls, name=which, prefix=SUBJECTS.prefix, nkey=nkey, trust=trust, **more)

    @contextlib.asynccontextmanager
    async def controller(self) -> AsyncIterator[Bus]:
        known, kubernetes, keys = NodeKeys(), None, self.keys
        issuers = [each.issuer for each in keys]
        async with self.connected("controller") as bus:
            known.put(NODE, kept_key(self.servers.key).public)
            asked: Any = kubernetes
            callout = Callout(asked, known, SUBJECTS, issuers, "directpv", lambda outcome, role, seconds: None)
            await bus.client.subscribe("$SYS.REQ.USER.AUTH", queue="q", cb=callout.heard)
            handlers = {Controller.DRIVE_LIST: listed, Controller.VOLUME_GET: _missing}
            async with (
                background(callout.run()),
                serve(bus, name="c", description="t", queue="q", handlers=handlers),
            ):
                await bus.client.flush()
                yield bus

    async def replace_servers(self, settled: Callable[[], Awaitable[None]]) -> None:
        """Replace one after another, each when the one before takes part again."""
        for index in reversed(range(3)):
            name = f"nats-{index}"
            process = self.servers.running.pop(name)
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 20)
            self.servers.start_hub(index)
            await self.takes_part(index)
            await settled()

    async def takes_part(self, index: int) -> None:
        """Wait until a server knows the others: it hears what is said at another one."""
        url = f"nats://127.0.0.1:{self.servers.ports[f'client-{index}']}"
        trust, key = Trust(certificates_of(self.keys)), self.keys[0].controller
        async with asyncio.timeout(30):
            async with connect_bus(url, name="t", prefix=SUBJECTS.prefix, nkey=key, trust=trust) as bus:
                while (info := await ensure_stream(bus)) is None or info.cluster is None or not info.cluster.leader:
                    await asyncio.sleep(0.1)

    async def replace_leaf(self) -> None:
        """Do as kubelet does to a server that is not alive, because it was started with other certificates."""
        if not outdated(self.servers.ports["monitor"], str(self.servers.authority)):
            return
        await self.restart_leaf()

    async def restart_leaf(self) -> None:
        process = self.servers.running.pop("leaf")
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 20)
        self.servers.start_leaf()


async def _missing(_: m.VolumeId) -> m.VolumeInfo:
    raise FailedPrecondition("of a test")


class Caller:
    """Makes one call after another, and notes the longest time from one answer to the next."""

    def __init__(self, what: str, call: Callable[[], Awaitable[object]]) -> None:
        self.what, self.answers, self.longest = what, 0, 0.0
        self._call = call

    async def run(self) -> None:
        before = time.monotonic()
        while True:
            await self._call()
            now = time.monotonic()
            self.longest, before, self.answers = max(self.longest, now - before), now, self.answers + 1
            await asyncio.sleep(0.01)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    found = Installation(tmp_path)
    try:
        found.servers.start()
        yield found
    finally:
        found.servers.close()


@contextlib.asynccontextmanager
async def programs(makes: Sequence[Callable[[], Any]]) -> AsyncIterator[list[Program]]:
    made = [Program(make) for make in makes]
    try:
        for each in made:
            await each.replace()
        yield made
    finally:
        for each in made:
            await each.end()


@pytest.mark.timeout(240)
async def test_the_secret_is_replaced_and_no_call_fails_and_the_former_ends(installation: Installation) -> None:
    servers, leaf_url = installation.servers, f"nats://127.0.0.1:{installation.servers.ports['leaf']}"

    def on_node(name: str) -> "contextlib.AbstractAsyncContextManager[Bus]":
        return connect_bus(leaf_url, name=name, prefix=SUBJECTS.prefix, inbox=node_inbox(NODE))

    agents = {"name": "a", "description": "t", "queue": "a", "node": NODE, "handlers": {Node.DEVICE_LIST: devices}}
    former = installation.keys
    makes = [*[installation.controller] * 3, lambda: installation.connected("gateway")]
    async with (
        programs(makes) as (*controllers, gateway),
        on_node("agent") as agent,
        on_node("gateway") as neighbour,
        serve(agent, **agents),
    ):

        async def get(bus: Bus) -> None:
            with pytest.raises(FailedPrecondition, match="of a test"):
                await bus.call(Controller.VOLUME_GET, m.VolumeId(name="v"), within=CALL_SECONDS)

        async def ask(bus: Bus) -> None:
            await bus.call(Node.DEVICE_LIST, m.Empty(), node=NODE, within=CALL_SECONDS)

        async def on_its_node() -> None:
            await neighbour.call(Node.DEVICE_LIST, m.Empty(), node=NODE, within=CALL_SECONDS)

        await controllers[0].calls(ask)
        callers = [
            Caller("gateway to controller", functools.partial(gateway.calls, get)),
            Caller("controller to node", functools.partial(controllers[0].calls, ask)),
            Caller("on the node", functools.partial(ask, neighbour)),
        ]

        async def settled() -> None:
            """Wait until everybody has had answers after what was done last."""
            before = [caller.answers for caller in callers]
            async with asyncio.timeout(2 * CALL_SECONDS):
                while not any(task.done() for task in running) and any(
                    caller.answers < answers + 10 for caller, answers in zip(callers, before, strict=True)
                ):
                    await asyncio.sleep(0.05)

        running = [asyncio.create_task(caller.run()) for caller in callers]
        try:
            for used, also in STEPS:
                installation.has(used, also)
                for program in (*controllers, gateway):
                    await program.replace()
                await installation.restart_leaf()  # at a server that knows nothing of this step yet
                await settled()
                await installation.replace_servers(settled)
                installation.publish()
                await installation.replace_leaf()
                await settled()
        finally:
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []
        for caller in callers:
            print(f"{caller.what}: {caller.answers} answers, {caller.longest:.2f} s without one at most")

        trust = Trust(certificates_of(installation.keys))
        key = former[0].controller
        async with connect_bus(installation.urls, name="t", prefix=SUBJECTS.prefix, nkey=key, trust=trust) as stranger:
            with pytest.raises(Refused):
                await ask(stranger)
        with pytest.raises(FailedPrecondition, match="not accepted"):
            async with connect_bus(
                installation.urls,
                name="t",
                prefix=SUBJECTS.prefix,
                nkey=installation.keys[0].controller,
                trust=Trust(certificates_of(former)),
            ):
                raise AssertionError("the servers show a certificate of the former authority")
        assert certificates_of(former) not in servers.authority.read_text()
