"""For all tests."""

import signal

from hypothesis import settings

from suites.together import pytest_xdist_make_scheduler  # noqa: F401 - a hook

settings.register_profile("any machine", deadline=None)  # an example may take as long as the machine makes it
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Have whatever ends a test run end it as Ctrl-C does: stacks, devices and guests that tests made go with it.

    Also where a shell in the background had interrupts ignored, and in the workers among which tests are shared.
    """
    for which in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(which, signal.default_int_handler)
