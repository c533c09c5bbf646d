"""Fixtures for tests that need an API server but no nodes: import them in a conftest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube.apiserver import ApiServer


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """An API server on loopback, for all tests of a run; each test takes names, or a namespace, of its own."""
    with tempfile.TemporaryDirectory(prefix="directpv-kube-") as path:
        server = ApiServer(Path(path))
        try:
            server.start()
            yield server
        finally:
            server.close()
