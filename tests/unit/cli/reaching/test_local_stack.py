"""Which stack of this machine is meant, by either program."""

from pathlib import Path

import orjson
import pytest

from directpv_cli.local.finding import named
from directpv_cli.local.lifecycle.starting import require_same
from directpv_cli.local.stack import Options, Stack, StackError
from directpv_cli.reaching.local_stack import NATS_URL, STATE_DIR, Stacks
from directpv_cli.reaching.way import LOCAL_URL, Tunnel, require_one, way
from directpv_common.protocol.errors import FailedPrecondition

KUBECONFIG = {"HOME": "/home/me"}, {"/home/me/.kube/config"}.__contains__
"""An environment with a usual kubeconfig, and the files that there are."""


class World:
    """Directories of stacks, and the keys that they published."""

    def __init__(self, path: Path) -> None:
        self.path, self.usual = path, path / "usual"
        (path / "keys").mkdir()
        self.stacks = Stacks(self.usual, path / "keys")

    def add(self, name: str, url: str) -> str:
        directory = self.path / name
        directory.mkdir()
        (directory / "stack.json").write_bytes(orjson.dumps({"nats_url": url}))
        (self.path / "keys" / f"{name}.nkey").symlink_to(directory / "keys" / "administrator.nkey")
        return str(directory)

    def way(self, environment: dict[str, str], *, url: str = "", kubeconfig: str = "") -> str | Tunnel:
        home, exists = KUBECONFIG
        return way(url, kubeconfig, {**home, **environment}, lambda path: path == "/k" or exists(path), self.stacks)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_directory_of_a_stack_is_enough_for_both_programs(world: World) -> None:
    one = world.add("one", "nats://127.0.0.1:1")
    world.add("two", "nats://127.0.0.1:2")

    assert world.way({STATE_DIR: one}) == "nats://127.0.0.1:1"
    assert world.way({STATE_DIR: one}, kubeconfig="/k") == Tunnel("/k"), "a flag has the last word"
    assert world.way({STATE_DIR: one}, url="nats://n:9") == "nats://n:9"
    assert named(Path(one), {STATE_DIR: one}, world.stacks) == Path(one)


def test_the_url_of_a_stack_is_enough_for_both_programs(world: World) -> None:
    world.add("one", "nats://127.0.0.1:1")
    two = world.add("two", "nats://127.0.0.1:2")
    environment = {NATS_URL: "nats://127.0.0.1:2"}

    assert world.way(environment, url=environment[NATS_URL]) == "nats://127.0.0.1:2"
    assert named(None, environment, world.stacks) == Path(two)
    assert named(None, {}, world.stacks) is None


def test_variables_that_mean_different_stacks_are_refused_by_both_programs(world: World) -> None:
    one = world.add("one", "nats://127.0.0.1:1")
    environment = {STATE_DIR: one, NATS_URL: "nats://127.0.0.1:2"}

    with pytest.raises(FailedPrecondition, match=f"{NATS_URL} is .*:2, {STATE_DIR} means .*:1; unset one"):
        world.way(environment, url="nats://127.0.0.1:2")
    with pytest.raises(StackError, match="unset one"):
        named(Path(one), environment, world.stacks)
    assert named(world.path, environment, world.stacks) == world.path, "a flag has the last word"


def test_what_was_named_and_is_not_there_is_an_error_that_names_the_variable(world: World) -> None:
    with pytest.raises(FailedPrecondition, match=f"^{STATE_DIR}: no stack in /gone"):
        world.way({STATE_DIR: "/gone"})
    with pytest.raises(StackError, match=f"^{NATS_URL}: no stack .*nats://n:1"):
        named(None, {NATS_URL: "nats://n:1"}, world.stacks)


def test_where_nothing_is_named_a_stack_is_meant_only_if_that_is_clear(world: World) -> None:
    def meant() -> str:
        found = way("", "", {}, lambda path: False, world.stacks)
        assert isinstance(found, str)
        require_one(world.stacks, found)
        return found

    assert meant() == LOCAL_URL
    one = world.add("one", "nats://127.0.0.1:1")
    assert meant() == "nats://127.0.0.1:1"
    two = world.add("two", "nats://127.0.0.1:2")
    with pytest.raises(FailedPrecondition, match=f"{one}, {two}.*{STATE_DIR}"):
        meant()
    world.add("usual", "nats://127.0.0.1:3")
    assert meant() == "nats://127.0.0.1:3"
    assert world.way({}) == Tunnel(""), "a kubeconfig comes before what nobody named"


def test_a_stack_that_is_there_is_started_again_only_as_it_is() -> None:
    stack = Stack(options=Options(directory="/s", nodes=2, nats_port=0), nats_url="nats://127.0.0.1:7")
    other = Options(directory="/s", nodes=3, drives=5, nats_port=9)

    require_same(stack, other, {"state_dir"})
    require_same(stack, Options(directory="/s", nodes=2, nats_port=0), {"nodes", "nats_port"})
    with pytest.raises(StackError, match=r"--nodes is 2 there, --nats-port is 7 there.*`directpv down` deletes"):
        require_same(stack, other, {"nodes", "nats_port"})
