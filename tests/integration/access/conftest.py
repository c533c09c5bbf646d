"""A real server that knows one user of each role, on two nodes, and one who may do everything and sees what is said."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from directpv_common.access.nkey import Nkey, new_nkey
from directpv_common.access.rendering import User, authorization
from directpv_common.access.roles import Access, Role, access
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.subjects import Subjects
from support.nats import NatsServer, nats_server

SUBJECTS = Subjects("directpv.v1")
NODES = ("n1", "n2")
EVERYTHING = Access((">",), (">",))
ROLES: dict[str, tuple[tuple[Role, ...], str]] = {
    "controller": ((Role.CONTROLLER,), ""),
    "gateway": ((Role.GATEWAY,), ""),
    "administrator": ((Role.ADMINISTRATOR,), ""),
    "observer": ((Role.OBSERVER,), ""),
    **{f"agent of {node}": ((Role.AGENT,), node) for node in NODES},
    **{f"gateway of {node}": ((Role.NODE_GATEWAY,), node) for node in NODES},
}


class World:
    """The server, and a connection of each user."""

    def __init__(self, server: NatsServer, keys: dict[str, Nkey]) -> None:
        self.server, self.keys = server, keys
        self.buses: dict[str, Bus] = {}


def settings(keys: dict[str, Nkey]) -> str:
    """Return the server's settings for these users."""
    users = [User(keys["root"].public, EVERYTHING)] if "root" in keys else []
    for name, (roles, node) in ROLES.items():
        if name in keys:
            users.append(User(keys[name].public, access(roles, SUBJECTS, node=node)))
    return authorization(users)


@pytest.fixture
def keys() -> dict[str, Nkey]:
    return {name: new_nkey() for name in ("root", *ROLES)}


@pytest.fixture
def server(tmp_path: Path, keys: dict[str, Nkey]) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "store", settings=settings(keys)) as running:
        yield running


@pytest.fixture
async def world(server: NatsServer, keys: dict[str, Nkey]) -> AsyncIterator[World]:
    made = World(server, keys)
    async with AsyncExitStack() as stack:
        for name, key in keys.items():
            bus = connect_bus(server.url, name=name, prefix=SUBJECTS.prefix, nkey=key)
            made.buses[name] = await stack.enter_async_context(bus)
        yield made
