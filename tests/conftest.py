"""For all tests."""

import signal


def pytest_configure() -> None:
    """Let interrupts reach what tests start, also where a shell in the background had them ignored."""
    for which in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(which) is signal.SIG_IGN:
            signal.signal(which, signal.default_int_handler if which is signal.SIGINT else signal.SIG_DFL)
