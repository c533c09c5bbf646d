"""For all tests."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let interrupts reach what tests start, also where a shell in the background had them ignored."""
    config.addinivalue_line("markers", "long: takes minutes, and runs in `make test-all` only")
    for which in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(which) is signal.SIG_IGN:
            signal.signal(which, signal.default_int_handler if which is signal.SIGINT else signal.SIG_DFL)
