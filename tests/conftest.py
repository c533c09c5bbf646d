"""For all tests."""

import signal

from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # an example may take as long as the machine makes it
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let interrupts reach what tests start, also where a shell in the background had them ignored."""
    for which in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(which) is signal.SIG_IGN:
            signal.signal(which, signal.default_int_handler if which is signal.SIGINT else signal.SIG_DFL)
