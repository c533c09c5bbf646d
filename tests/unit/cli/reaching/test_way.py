"""Which way a verb takes to the bus, and what kubectl's words mean."""

import asyncio
import socket
from pathlib import Path

import pytest

from directpv_cli.reaching import local_stack
from directpv_cli.reaching import way as ways
from directpv_cli.reaching.kubectl import require_cluster
from directpv_cli.reaching.local_stack import Stacks
from directpv_cli.reaching.port_forward import port_in, trouble
from directpv_cli.reaching.tunnel import command
from directpv_cli.reaching.way import LOCAL_URL, Tunnel, reached, way
from directpv_common.protocol.errors import FailedPrecondition, Unavailable

HOME = {"HOME": "/home/me"}
USUAL = "/home/me/.kube/config"
NONE = Stacks(Path("/nonexistent"), Path("/nonexistent"))
"""No stack on this machine."""


@pytest.mark.parametrize(
    ("url", "kubeconfig", "environment", "files", "chosen"),
    [
        pytest.param("nats://n:1", "/k", {"KUBECONFIG": "/e"}, {"/k", "/e", USUAL}, "nats://n:1", id="a URL wins"),
        pytest.param("nats://n:1", "/gone", {}, set(), "nats://n:1", id="a URL needs no kubeconfig"),
        pytest.param("", "/k", {"KUBECONFIG": "/e"}, {"/k", "/e", USUAL}, Tunnel("/k"), id="a flag before all files"),
        pytest.param("", "", {"KUBECONFIG": "/e"}, {"/e"}, Tunnel(""), id="KUBECONFIG, which kubectl reads itself"),
        pytest.param("", "", {"KUBECONFIG": "/a:/b"}, {"/b"}, Tunnel(""), id="one of several files is enough"),
        pytest.param("", "", {"KUBECONFIG": ""}, {USUAL}, Tunnel(""), id="the usual file"),
        pytest.param("", "", {}, set(), LOCAL_URL, id="nothing: the local stack"),
    ],
)
def test_the_way_is_the_first_that_there_is(url, kubeconfig, environment, files, chosen):
    assert way(url, kubeconfig, {**HOME, **environment}, files.__contains__, NONE) == chosen


def test_without_a_home_there_is_no_usual_kubeconfig():
    assert way("", "", {}, lambda path: True, NONE) == LOCAL_URL


@pytest.mark.parametrize(
    ("kubeconfig", "environment"), [("/gone", {"KUBECONFIG": USUAL}), ("", {"KUBECONFIG": "/gone"})]
)
def test_a_kubeconfig_that_was_named_and_is_not_there_is_no_reason_to_take_another(kubeconfig, environment):
    with pytest.raises(FailedPrecondition, match=r"no file /gone.*--nats-url"):
        way("", kubeconfig, {**HOME, **environment}, {USUAL}.__contains__)


def test_kubectl_forwards_a_port_of_loopback_that_the_kernel_chooses():
    forward = ["-n", "directpv", "port-forward", "--address", "127.0.0.1", "service/nats", ":4222"]

    assert command("", "service/nats") == ["kubectl", *forward]
    assert command("/k", "service/nats") == ["kubectl", "--kubeconfig=/k", *forward]


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("Forwarding from 127.0.0.1:40123 -> 4222", 40123),
        ("Forwarding from [::1]:40123 -> 4222", None),
        ("Handling connection for 40123", None),
        ("error: unable to forward port because pod is not running. Current status=Pending", None),
        ("", None),
    ],
)
def test_the_port_is_known_from_the_line_that_tells_it(line, port):
    assert port_in(line) == port


def test_a_cluster_without_our_nats_is_told_from_one_that_cannot_be_reached():
    absent = trouble('Error from server (NotFound): services "nats" not found')
    refused = trouble("The connection to the server was refused")

    assert "kubectl directpv install" in absent
    assert "--nats-url" in absent
    assert refused.endswith("The connection to the server was refused")
    assert "install" not in refused
    assert trouble("").endswith("nothing")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No kubeconfig, and the usual port of a stack is that of a socket, which listens if it is told to."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("KUBECONFIG", "DIRECTPV_STATE_DIR", "DIRECTPV_NATS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(local_stack.STACKS, "usual_urls", list)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setattr(ways, "LOCAL_URL", f"nats://127.0.0.1:{held.getsockname()[1]}")
        yield held


async def _reach(url: str = "") -> str:
    async with reached(url, "") as found:
        return found


def test_where_nothing_is_named_and_no_stack_runs_it_is_said_what_starts_one(nowhere):
    with pytest.raises(Unavailable, match=r"`directpv up` starts a stack; --kubeconfig or --nats-url"):
        asyncio.run(_reach())
    assert asyncio.run(_reach("nats://127.0.0.1:1")) == "nats://127.0.0.1:1", "what was named is waited for"

    nowhere.listen()
    assert asyncio.run(_reach()) == ways.LOCAL_URL


@pytest.mark.parametrize(
    ("environment", "files", "found"),
    [
        ({}, {USUAL}, True),
        ({"KUBECONFIG": "/a:/b"}, {"/b"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, set(), True),
        ({"KUBECONFIG": "/gone"}, {USUAL}, False),
        ({}, set(), False),
    ],
)
def test_kubectl_is_not_asked_where_it_would_look_for_a_cluster_on_this_machine(environment, files, found):
    def ask() -> None:
        require_cluster("claims are in a cluster", {**HOME, **environment}, files.__contains__)

    if found:
        ask()
    else:
        with pytest.raises(FailedPrecondition, match=r"no kubeconfig leads to a cluster: claims are.*--kubeconfig"):
            ask()
