"""The users of a local stack's bus: a key for each program and for people, made by ``up`` and gone with the stack."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from directpv_cli.reaching.local_key import place_of
from directpv_common.access.nkey import new_nkey, read_seed, write_seed
from directpv_common.access.rendering import User, authorization
from directpv_common.access.roles import Role, access
from directpv_common.protocol.subjects import DEFAULT_PREFIX, Subjects

FOLDER: Final = "keys"
CONTROLLER: Final = "controller"
ADMINISTRATOR: Final = "administrator"
OBSERVER: Final = "observer"


def key_file(directory: Path, user: str) -> Path:
    """Return the file with the seed of ``user`` in a stack; programs of nodes are called as their processes are."""
    return directory / FOLDER / f"{user}.nkey"


def make(directory: Path, nodes: Iterable[str]) -> str:
    """Make all keys, and return the settings by which nats-server knows them."""
    (directory / FOLDER).mkdir(mode=0o700)
    users = []
    for name, roles, node in _users(nodes):
        key = new_nkey()
        write_seed(key_file(directory, name), key)
        users.append(User(key.public, access(roles, Subjects(DEFAULT_PREFIX), node=node)))
    return authorization(users)


def _users(nodes: Iterable[str]) -> Iterator[tuple[str, tuple[Role, ...], str]]:
    yield CONTROLLER, (Role.CONTROLLER,), ""
    yield ADMINISTRATOR, (Role.ADMINISTRATOR,), ""
    yield OBSERVER, (Role.OBSERVER,), ""
    for node in nodes:
        yield f"nodeagent-{node}", (Role.AGENT,), node
        yield f"gateway-{node}", (Role.GATEWAY, Role.NODE_GATEWAY), node


def publish(directory: Path, url: str) -> None:
    """Let verbs that are given the stack's URL, or none, find the administrator's key."""
    place = place_of(url)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        place.unlink()  # of a stack whose machine lost its power
    os.symlink(key_file(directory, ADMINISTRATOR), place)


def withdraw(directory: Path, url: str) -> None:
    """Take the way to the key away, if it is this stack's."""
    place = place_of(url)
    with contextlib.suppress(OSError):
        if Path(os.readlink(place)).is_relative_to(directory):
            place.unlink()


def inbox(directory: Path, user: str) -> str:
    """Return the prefix of the subjects on which ``user`` hears replies."""
    return read_seed(key_file(directory, user)).inbox
