"""Each role tries to say and to hear everything that there is on a real server, and gets what it needs alone."""

from contextlib import AbstractAsyncContextManager

import nats.errors
import pytest
from nats.aio.subscription import Subscription

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events, ensure_stream
from directpv_common.bus.service import Handlers, serve
from directpv_common.process.lifecycle import background
from directpv_common.protocol.api import Controller, Endpoint, Node
from directpv_common.protocol.errors import Refused
from integration.access.conftest import NODES, ROLES, SUBJECTS, World

P, STREAM = SUBJECTS.prefix, SUBJECTS.stream


def endpoints(api: type) -> dict[str, "Endpoint[object, object]"]:
    return {name: value for name, value in vars(api).items() if isinstance(value, Endpoint)}


CONTROLLER = {name: SUBJECTS.controller(e.noun, e.verb) for name, e in endpoints(Controller).items()}
NODE = {node: {name: SUBJECTS.node(node, e.noun, e.verb) for name, e in endpoints(Node).items()} for node in NODES}
EVENTS = {source: SUBJECTS.event(source, "drive", "lost") for source in ("controller", *NODES)}
HEARTBEATS = {node: SUBJECTS.state(node) for node in NODES}
METRICS = {node: SUBJECTS.metrics(node) for node in NODES}
JETSTREAM = {
    verb: f"$JS.API.{verb}.{STREAM}"
    for verb in ("STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.INFO", "STREAM.MSG.DELETE")
} | {"CONSUMER.CREATE": f"$JS.API.CONSUMER.CREATE.{STREAM}.one.{P}.evt.>"}
OTHERS = (SUBJECTS.cut, "$JS.API.STREAM.CREATE.other", "$JS.API.CONSUMER.CREATE.other", "somewhere.else")
SHARED = (SUBJECTS.leader, SUBJECTS.roll_call)


def everything() -> list[str]:
    nodes = [subject for node in NODES for subject in NODE[node].values()]
    tells = [*EVENTS.values(), *HEARTBEATS.values(), *METRICS.values(), *SHARED]
    return [*CONTROLLER.values(), *nodes, *tells, *JETSTREAM.values(), *OTHERS]


def calls(of: dict[str, str], *names: str) -> set[str]:
    return {of[name] for name in names}


CSI = (
    "VOLUME_CREATE",
    "VOLUME_DELETE",
    "VOLUME_EXPAND",
    "VOLUME_GET",
    "VOLUME_LIST",
    "VOLUME_HEALTH",
    "VOLUME_HEALTH_LIST",
    "CAPACITY_GET",
)
NODE_PATH = (
    "NODE_GET",
    "VOLUME_STAGE",
    "VOLUME_PUBLISH",
    "VOLUME_UNPUBLISH",
    "VOLUME_UNSTAGE",
    "VOLUME_EXPAND",
    "VOLUME_STATS",
    "VOLUME_HEALTH",
    "NODE_HEALTH",
)
QUESTIONS = ("NODE_GET", "DEVICE_LIST", "DRIVE_SEEN", "INVENTORY_GET", "VOLUME_USAGE")
ALL_NODES = {subject for node in NODES for subject in NODE[node].values()}
TOLD = {*EVENTS.values(), *HEARTBEATS.values(), *METRICS.values(), SUBJECTS.leader}

SAYS = {
    "controller": {*ALL_NODES, EVENTS["controller"], *SHARED, JETSTREAM["STREAM.CREATE"]},
    "gateway": calls(CONTROLLER, *CSI),
    "administrator": {
        *CONTROLLER.values(),
        *(subject for node in NODES for subject in calls(NODE[node], *QUESTIONS)),
        JETSTREAM["STREAM.INFO"],
        JETSTREAM["CONSUMER.CREATE"],
    },
    "observer": set(),
    **{f"agent of {n}": {EVENTS[n], HEARTBEATS[n], METRICS[n], JETSTREAM["STREAM.CREATE"]} for n in NODES},
    **{f"gateway of {n}": calls(NODE[n], *NODE_PATH) for n in NODES},
}
HEARS = {
    "controller": {*CONTROLLER.values(), *HEARTBEATS.values()},
    "gateway": {SUBJECTS.leader},
    "administrator": TOLD,
    "observer": TOLD,
    **{f"agent of {n}": {*NODE[n].values(), SUBJECTS.roll_call} for n in NODES},
    **{f"gateway of {n}": {SUBJECTS.leader} for n in NODES},
}


class Ear:
    """Notes on which subjects a connection hears something."""

    def __init__(self, bus: Bus) -> None:
        self.heard: set[str] = set()
        self._bus = bus
        self._subscriptions: list[Subscription] = []

    async def listen(self, *patterns: str) -> None:
        for pattern in patterns:
            self._subscriptions.append(await self._bus.client.subscribe(pattern))
        await self._bus.client.flush()

    async def everything(self) -> set[str]:
        """Return what was heard, once the server has sent all that was said by those who have flushed."""
        await self._bus.client.flush()
        for subscription in self._subscriptions:
            while subscription.pending_msgs:
                self.heard.add((await subscription.next_msg(timeout=1)).subject)
        return self.heard


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_say_what_it_must_and_nothing_else(world: World, role: str) -> None:
    ear = Ear(world.buses["root"])
    await ear.listen(f"{P}.>", "$JS.API.>", "somewhere.>")
    for subject in everything():
        await world.buses[role].client.publish(subject, b"{}")
    await world.buses[role].client.flush()

    assert await ear.everything() & set(everything()) == SAYS[role]


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_hear_what_it_must_and_nothing_else(world: World, role: str) -> None:
    ear = Ear(world.buses[role])
    wide = [">", f"{P}.>", f"{P}.node.>", f"{P}.ctl.>", f"{P}.*.*", "$JS.>", "_INBOX.>", "_INBOX.*.*"]
    await ear.listen(*wide, *everything())
    said = [*everything(), *(f"{world.keys[other].inbox}.answer" for other in ROLES if other != role)]
    for subject in said:
        await world.buses["root"].client.publish(subject, b"{}")
    await world.buses["root"].client.flush()

    assert await ear.everything() == HEARS[role]


def serving(bus: Bus, name: str, handlers: Handlers, **more: str) -> AbstractAsyncContextManager[object]:
    return serve(bus, name=name, description="test", handlers=handlers, queue=name, **more)


async def test_each_call_of_the_system_is_answered_to_who_asked_and_to_nobody_else(world: World) -> None:
    spies = [Ear(world.buses[name]) for name in ("gateway", "agent of n2", "observer")]
    for spy in spies:
        await spy.listen("_INBOX.>", f"{world.keys['administrator'].inbox}.>")

    async def listed(_: m.ListDrives) -> m.DrivePage:
        return m.DrivePage(drives=())

    async def devices(_: m.Empty) -> m.DeviceList:
        return m.DeviceList(node="n1", devices=())

    controller, agent = world.buses["controller"], world.buses["agent of n1"]
    admin = world.buses["administrator"]
    async with (
        serving(controller, "directpv-controller", {Controller.DRIVE_LIST: listed}),
        serving(agent, "directpv-nodeagent", {Node.DEVICE_LIST: devices}, node="n1"),
    ):
        assert await admin.call(Controller.DRIVE_LIST, m.ListDrives()) == m.DrivePage(drives=())
        assert await admin.call(Node.DEVICE_LIST, m.Empty(), node="n1") == m.DeviceList(node="n1", devices=())
        assert await controller.call(Node.DEVICE_LIST, m.Empty(), node="n1") == m.DeviceList(node="n1", devices=())
        found = await world.buses["observer"].client.request("$SRV.PING.directpv-controller", b"", timeout=5)
        assert b"directpv-controller" in found.data
        with pytest.raises(Refused, match="may not ask"):
            await world.buses["gateway of n2"].call(
                Node.VOLUME_STATS, m.StatVolume(name="v", volume_path="/v"), node="n1", within=1
            )
    assert [await spy.everything() for spy in spies] == [set()] * len(spies)


async def test_an_agent_answers_what_it_was_asked_and_speaks_to_nobody_by_itself(world: World) -> None:
    agent, admin = world.buses["agent of n1"].client, world.buses["administrator"].client
    inbox = admin.new_inbox()
    answers = await admin.subscribe(inbox)

    async def answer(message: object) -> None:
        for text in (b"first", b"second"):
            await agent.publish(inbox, text)

    await agent.publish(inbox, b"unasked")
    await agent.subscribe(NODE["n1"]["DEVICE_LIST"], cb=answer)
    await agent.flush()
    await admin.publish(NODE["n1"]["DEVICE_LIST"], b"{}", reply=inbox)
    assert (await answers.next_msg(timeout=5)).data == b"first"
    await agent.flush()
    await admin.flush()
    with pytest.raises(nats.errors.TimeoutError):
        await answers.next_msg(timeout=0.2)


async def test_a_node_tells_its_own_events_which_administrators_replay(world: World) -> None:
    events = Events(world.buses["agent of n1"], "n1")
    async with background(events.run()):
        events.emit("drive", "lost", "d1")
        js = world.buses["administrator"].client.jetstream(timeout=5)
        await ensure_stream(world.buses["controller"])
        stream = await js.subscribe(SUBJECTS.all_events, stream=STREAM, ordered_consumer=True)
        assert (await stream.next_msg(timeout=10)).subject == EVENTS["n1"]
        await stream.unsubscribe()
