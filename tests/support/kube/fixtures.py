"""Fixtures for tests that need an API server but no nodes: import them in a conftest."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube.apiserver import ApiServer


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run an API server on loopback while the block runs."""
    with tempfile.TemporaryDirectory(prefix="directpv-kube-") as path:
        server = ApiServer(Path(path))
        try:
            server.start()
            yield server
        finally:
            server.close()


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """An API server for all tests of a run; each test takes names, or a namespace, of its own."""
    with api_server() as server:
        yield server
