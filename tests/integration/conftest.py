"""What all integration tests stand on."""

from collections.abc import Iterator

import pytest

from support.kube.fixtures import apiserver  # noqa: F401 - a fixture; here, so that all below have the same server
from support.udev import running_udevd


@pytest.fixture(scope="session", autouse=True)
def udevd() -> Iterator[None]:
    """A real udevd, as on every server; the machine's own, or one that ends with the tests."""
    with running_udevd():
        yield
