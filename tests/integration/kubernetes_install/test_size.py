"""How many servers and controllers there are where nobody said it."""

import json
from collections.abc import Callable, Iterator

import pytest

from directpv_cli.install.objects.paths import Ref
from support.kube.apiserver import ApiServer

from .conftest import Plugin
from .test_install import CONTROLLERS, live

pytestmark = pytest.mark.timeout(240)
SERVERS = Ref("StatefulSet", "nats")

Join = Callable[..., None]


@pytest.fixture
def join(apiserver: ApiServer) -> Iterator[Join]:
    """Adds a node that does not run; all of them leave at the end."""

    def node(name: str, *, cordoned: bool = False) -> None:
        item = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": cordoned}}
        apiserver.kubectl("create", "-f", "-", input=json.dumps(item))

    yield node
    apiserver.kubectl("delete", "nodes", "--all")


def sizes(server: ApiServer) -> tuple[int, int]:
    servers, controllers = (live(server, ref)["spec"]["replicas"] for ref in (SERVERS, CONTROLLERS))
    return servers, controllers


def test_one_node_has_one_of_each_and_more_have_three(apiserver: ApiServer, plugin: Plugin, join: Join) -> None:
    join("one")
    assert plugin("install").returncode == 0
    assert sizes(apiserver) == (1, 1)
    join("two", cordoned=True)
    assert plugin("install").returncode == 0
    assert sizes(apiserver) == (3, 3), "a cordoned node comes back"


def test_nodes_that_are_away_make_nothing_fewer_unless_it_is_asked_for(
    apiserver: ApiServer, plugin: Plugin, join: Join
) -> None:
    assert plugin("install", "--controller-replicas=5").returncode == 0
    join("one")
    assert plugin("install").returncode == 0
    assert sizes(apiserver) == (3, 5)
    assert plugin("install", "--nats-replicas=1").returncode == 0
    assert sizes(apiserver) == (1, 5)
    assert plugin("install", "--nats-replicas=1", "--controller-replicas=2").returncode == 0
    assert sizes(apiserver) == (1, 2)
