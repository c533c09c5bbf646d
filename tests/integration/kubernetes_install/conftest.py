"""A real API server and controller manager, without nodes; and the plugin as people run it."""

import contextlib
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.kubernetes_install.hub_servers import Servers
from support import forked
from support.kube import programs
from support.kube.apiserver import ApiServer
from support.kube.fixtures import apiserver  # noqa: F401 - a server of their own: they take definitions away
from support.kube.process import Program
from support.ports import free_port

Plugin = Callable[..., subprocess.CompletedProcess[str]]
CONTROLLERS = "namespace-controller,garbage-collector-controller"
"""Those that delete. Without nodes, the others would only make pods that nobody runs."""


@contextlib.contextmanager
def controller_manager(apiserver: ApiServer, controllers: str) -> Iterator[None]:  # noqa: F811
    """Run a controller manager that has only these controllers."""
    port = free_port()
    command = [
        programs.kubernetes("kube-controller-manager") / "kube-controller-manager",
        f"--kubeconfig={apiserver.admin}",
        f"--controllers={controllers}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={apiserver.directory}",
        "--leader-elect=false",
        "--authentication-skip-lookup=true",
    ]
    program = Program("kube-controller-manager", command, apiserver.directory / "manager.log")
    try:
        program.start(lambda: _answers(f"https://127.0.0.1:{port}/healthz"), 120)
        yield
    finally:
        program.kill()


@pytest.fixture(scope="session")
def manager(apiserver: ApiServer) -> Iterator[None]:  # noqa: F811
    """The controller manager: empties namespaces, and deletes what belongs to deleted objects."""
    with controller_manager(apiserver, CONTROLLERS):
        yield


def _answers(url: str) -> bool:
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # it makes itself a certificate at the start
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2, context=trust) as reply:
        return bool(reply.status == 200)
    return False


@pytest.fixture
def plugin(apiserver: ApiServer, manager: None, tmp_path: Path) -> Iterator[Plugin]:  # noqa: F811
    """Runs ``kubectl-directpv`` against the API server; what it installed is gone afterwards."""
    environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(apiserver.admin)}
    environment.pop("KUBELET_DIR_PATH", None)

    def run(*arguments: str, within: float = 110.0, **more: str) -> subprocess.CompletedProcess[str]:
        return forked.run("kubectl-directpv", *arguments, env={**environment, **more}, within=within)

    try:
        yield run
    finally:
        done = run("uninstall", "--dangerous")
        assert done.returncode == 0, done.stderr


@pytest.fixture(params=[1, 3])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path, request.param)
    try:
        found.start()
        yield found
    finally:
        found.close()
