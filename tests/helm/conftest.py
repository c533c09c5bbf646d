"""Helm itself, and a release in a real API server without nodes."""

import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.kube.apiserver import ApiServer
from support.kube.fixtures import api_server

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "manifests/helm/directpv"


@cache
def helm() -> str:
    """Return the path of Helm; builds it."""
    build = [TOP / "scripts/build-tool", "helm"]
    return subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True, timeout=1700).stdout.strip()


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Helm, whatever comes of it."""
    env = {**os.environ, **environment}
    return subprocess.run([helm(), *arguments], capture_output=True, text=True, timeout=120, check=False, env=env)


class Release:
    """The release ``directpv`` in one namespace."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace

    def act(self, verb: str, *arguments: str) -> str:
        """Run a verb of Helm on it; return what Helm says, if all is well."""
        environment = {"HOME": str(self.server.directory), "KUBECONFIG": str(self.server.admin)}
        done = run(verb, "directpv", f"--namespace={self.namespace}", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server of the test's own: nothing empties a namespace here, so that another test could have it."""
    with api_server() as server:
        yield server
