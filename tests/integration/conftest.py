"""What all integration tests stand on."""

from collections.abc import Iterator

import pytest

from support.udev import running_udevd


@pytest.fixture(scope="session", autouse=True)
def udevd() -> Iterator[None]:
    """A real udevd, as on every server; the machine's own, or one that ends with the tests."""
    with running_udevd():
        yield
