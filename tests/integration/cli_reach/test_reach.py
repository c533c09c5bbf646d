"""Verbs find their way into a cluster through kubectl, and leave nothing of it behind, however they end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.nats import SERVER_NAME
from directpv_cli.local.machine.processes import wait_until
from directpv_cli.reaching.port_forward import port_forward
from directpv_cli.reaching.tunnel import way_in
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller as Api
from directpv_common.protocol.errors import Unavailable
from integration.cli_reach.conftest import WITHIN, Kubectl
from integration.controller.harness import Controller, until
from integration.controller.node import PlayedNode
from support.nats import NatsServer, nats_server
from support.tls import Secured, files, new_authority

FORWARD = ["-n", "directpv", "port-forward", "--address", "127.0.0.1", "service/nats", ":4222"]


@pytest.fixture
def controller(nats: NatsServer, tmp_path: Path) -> Iterator[Controller]:
    process = Controller(nats, tmp_path)
    try:
        yield process
    finally:
        process.end()


@pytest.mark.usefixtures("controller")
async def test_a_verb_reaches_the_controller_through_kubectl_which_ends_with_it(
    kubectl: Kubectl, nats: NatsServer
) -> None:
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus, node.running(bus):

        async def known() -> bool:
            return bool((await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=WITHIN)).drives)

        await until(known, "the drive is registered")
        listed = await asyncio.to_thread(kubectl.run, "list", "drives")

    assert listed.returncode == 0, listed.stderr
    assert fsuuid in listed.stdout
    assert kubectl.started == [FORWARD]
    assert kubectl.is_gone


def test_kubectl_is_told_of_the_kubeconfig_that_a_flag_names(kubectl: Kubectl) -> None:
    kubectl.run("--kubeconfig", str(kubectl.kubeconfig), "info", KUBECONFIG="/nowhere", STAND_IN="refused")

    assert kubectl.started == [[f"--kubeconfig={kubectl.kubeconfig}", *FORWARD]]


def test_kubectl_is_told_of_the_context_that_a_flag_names_before_or_after_the_verb(kubectl: Kubectl) -> None:
    for words in (["--context", "prod", "info"], ["info", "--context=prod"]):
        kubectl.run(*words, STAND_IN="refused")
    (kubectl.home / ".kube").mkdir()
    kubectl.run("info", "--context", "prod", KUBECONFIG="", STAND_IN="refused")

    assert kubectl.started == [["--context=prod", *FORWARD]] * 3


@pytest.mark.usefixtures("controller")
async def test_a_pending_claim_is_explained_by_what_kubernetes_knows_of_it_and_by_every_drive(
    kubectl: Kubectl, nats: NatsServer
) -> None:
    node = PlayedNode("n1")
    fsuuid = node.add_drive()
    claim = {
        "metadata": {
            "name": "data",
            "namespace": "shop",
            "uid": "u1",
            "annotations": {"volume.kubernetes.io/selected-node": "n1"},
        },
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "8Gi"}}},
        "status": {"phase": "Pending"},
    }
    objects = {
        "persistentvolumeclaim/data": claim,
        "storageclass/fast": {"provisioner": "directpv-min-io", "parameters": {"directpv.min.io/tier": "hot"}},
        "events": {"items": [{"type": "Warning", "message": "failed to provision volume"}]},
    }
    file = kubectl.home / "objects.json"
    file.write_text(json.dumps(objects))
    async with connect_bus(nats.url, name="test", prefix="directpv.v1") as bus, node.running(bus):

        async def known() -> bool:
            return bool((await bus.call(Api.DRIVE_LIST, m.ListDrives(), within=WITHIN)).drives)

        await until(known, "the drive is registered")
        said = await asyncio.to_thread(kubectl.run, "explain", "pvc", "shop/data", STAND_IN_OBJECTS=str(file))
        gone = await asyncio.to_thread(kubectl.run, "explain", "pvc", "none", STAND_IN_OBJECTS=str(file))

    assert said.returncode == 0, said.stderr
    assert "claim shop/data is Pending, of class fast" in said.stdout
    assert "failed to provision volume" in said.stdout
    assert f"- n1/sda ({fsuuid})" in said.stdout
    assert "it has no label tier=hot" in said.stdout
    assert f"kubectl directpv label drives tier=hot --ids {fsuuid}" in said.stdout
    assert (gone.returncode, "not found" in gone.stderr) == (1, True)


def test_the_usual_kubeconfig_is_enough(kubectl: Kubectl) -> None:
    (kubectl.home / ".kube").mkdir()
    (kubectl.home / ".kube/config").touch()

    kubectl.run("info", KUBECONFIG="", STAND_IN="refused")

    assert kubectl.started == [FORWARD]


@pytest.mark.usefixtures("controller")
def test_a_url_that_was_given_needs_no_kubectl(kubectl: Kubectl, nats: NatsServer) -> None:
    by_flag = kubectl.run("--nats-url", nats.url, "list", "drives")
    by_environment = kubectl.run("list", "drives", DIRECTPV_NATS_URL=nats.url)

    assert [done.stderr.count("no drives match") for done in (by_flag, by_environment)] == [1, 1]
    assert kubectl.started == []


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("missing", ['services "nats" not found', "kubectl directpv install", "--nats-url"]),
        ("refused", ["The connection to the server 127.0.0.1:9 was refused"]),
        ("broken", ["lost connection to pod"]),
    ],
)
def test_a_way_that_leads_nowhere_is_an_error_with_what_kubectl_says_of_it(
    kubectl: Kubectl, how: str, named: list[str]
) -> None:
    done = kubectl.run("list", "drives", STAND_IN=how)

    assert (done.returncode, done.stdout) == (1, "")
    assert [text for text in named if text not in done.stderr] == []
    assert "memcache" not in done.stderr
    assert done.stderr.count("ERROR") == 1
    assert kubectl.is_gone


@pytest.mark.usefixtures("controller")
def test_a_server_on_a_node_that_is_dead_is_passed_by(kubectl: Kubectl) -> None:
    done = kubectl.run("list", "drives", STAND_IN="pod/nats-1")

    assert "no drives match" in done.stderr, done.stderr
    assert [argv[-2] for argv in kubectl.started] == ["service/nats", "pod/nats-0", "pod/nats-1"]
    assert kubectl.is_gone


@pytest.mark.parametrize("own", [True, False])
def test_a_verb_speaks_to_a_server_with_the_certificate_that_kubernetes_names_and_to_no_other(
    tmp_path: Path, own: bool
) -> None:
    authority = new_authority()
    made = files(tmp_path / "tls", authority if own else new_authority(), names=(SERVER_NAME,))
    known = tmp_path / "ca.crt"
    known.write_text(authority.certificate)
    with nats_server(tmp_path / "nats", settings=Secured(made).settings) as server:
        controller, kubectl = Controller(server, tmp_path), Kubectl(tmp_path, server)
        try:
            done = kubectl.run("list", "drives", STAND_IN_CA=str(known))
        finally:
            kubectl.end()
            controller.end()

    if own:
        assert "no drives match" in done.stderr, done.stderr
    else:
        assert done.returncode == 1
        assert "is not this installation's authority" in done.stderr


def test_without_kubectl_the_error_says_what_to_do(kubectl: Kubectl) -> None:
    kubectl.program.unlink()

    done = kubectl.run("list", "drives")

    assert done.returncode == 1
    assert "kubectl is not on the PATH" in done.stderr
    assert "--nats-url" in done.stderr


def test_a_kubeconfig_that_is_not_there_is_named(kubectl: Kubectl) -> None:
    done = kubectl.run("--kubeconfig", "/nowhere/config", "list", "drives")

    assert done.returncode == 1
    assert "/nowhere/config" in done.stderr
    assert kubectl.started == []


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_verb_that_is_interrupted_takes_kubectl_with_it(kubectl: Kubectl, which: signal.Signals) -> None:
    verb = kubectl.begin("list", "drives")

    verb.send_signal(which)
    said = verb.communicate(timeout=WITHIN)[1]

    assert (verb.returncode, "interrupted" in said) == (1, True), said
    assert kubectl.is_gone


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a process that was killed")
def test_a_verb_that_is_killed_takes_kubectl_with_it(kubectl: Kubectl) -> None:
    verb = kubectl.begin("list", "drives")

    verb.kill()
    verb.communicate(timeout=WITHIN)

    assert wait_until(lambda: kubectl.is_gone, WITHIN)


def test_a_verb_whose_kubectl_ends_in_the_middle_ends_with_an_error(kubectl: Kubectl) -> None:
    verb = kubectl.begin("list", "drives")

    os.kill(kubectl.pid, signal.SIGKILL)
    said = verb.communicate(timeout=WITHIN)[1]

    assert verb.returncode == 1
    assert "the way into the cluster was lost" in said


async def test_a_kubectl_that_gets_nowhere_is_given_up_after_a_while(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**kubectl.environment, "STAND_IN": "silent"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Unavailable, match=r"not ready after 5 s.*API server"):
        async with port_forward(["kubectl", *FORWARD], within=5.0):
            raise AssertionError("there is no port")

    assert kubectl.is_gone


async def test_a_server_that_is_only_slow_to_greet_is_asked_again_before_it_is_called_away(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**kubectl.environment, "STAND_IN": "slow"}.items():
        monkeypatch.setenv(name, value)

    async with way_in("", greet=(0.1, WITHIN)) as port:
        assert port
    asked = [argv[-2] for argv in kubectl.started]
    assert asked == ["service/nats", "pod/nats-0", "pod/nats-1", "pod/nats-2", "service/nats"]


def test_help_is_fast_because_it_loads_nothing_that_reaches_a_cluster() -> None:
    script = (
        "import sys, directpv_cli.app; print({'asyncio', 'nats', 'directpv_cli.reaching.way'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "set()\n"
