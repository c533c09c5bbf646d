"""People come in with a token that Kubernetes gives them for the bus; its rules decide who gets one."""

import pytest

import directpv_common.protocol.messages as m
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Refused
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, NODE_ACCOUNT, OBSERVER_ACCOUNT
from integration.access.test_roles import Ear
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World


async def listed(_: m.ListDrives) -> m.DrivePage:
    return m.DrivePage(drives=())


async def test_an_administrator_asks_the_controller_and_nobody_else_hears_the_answer(world: World) -> None:
    token = world.token(ADMINISTRATOR_ACCOUNT)
    async with (
        world.controller() as controller,
        world.person(token) as person,
        world.person(world.token(OBSERVER_ACCOUNT)) as observer,
        world.person(world.token(ADMINISTRATOR_ACCOUNT)) as other,
        serve(controller, name="c", description="t", queue="q", handlers={Controller.DRIVE_LIST: listed}),
    ):
        spies = [Ear(observer), Ear(other)]
        for spy in spies:
            await spy.listen("_INBOX.>", person.client.new_inbox())
        assert await person.call(Controller.DRIVE_LIST, m.ListDrives(), within=10) == m.DrivePage(drives=())
        assert [await spy.everything() for spy in spies] == [set(), set()]


async def test_an_observer_hears_and_commands_nothing(world: World) -> None:
    async with world.controller(), world.root() as root, world.person(world.token(OBSERVER_ACCOUNT)) as observer:
        assert await heard_by(observer, root, SUBJECTS.state("n1"))
        with pytest.raises(Refused):
            await observer.call(Controller.DRIVE_LIST, m.ListDrives(), within=5)


@pytest.mark.parametrize(
    "what", ["nonsense", "malformed", "of a node", "of another account", "for the API server", "none"]
)
async def test_who_shows_another_token_or_none_is_not_let_in_and_told_so_at_once(world: World, what: str) -> None:
    token = {
        "nonsense": lambda: "no.such.token",
        "malformed": lambda: "a token\n",
        "of a node": lambda: world.token(NODE_ACCOUNT, world.pod(world.node("n1"))),
        "of another account": lambda: world.token("other"),
        "for the API server": lambda: world.token(ADMINISTRATOR_ACCOUNT, audience="https://kubernetes.default.svc"),
        "none": lambda: "",
    }[what]()
    async with world.controller():
        with pytest.raises(Refused):
            async with world.person(token):
                raise AssertionError("it was let in")
    assert "admitted" not in world.outcomes
