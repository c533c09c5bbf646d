"""A test that failed because a guest died says so: import the hook in a conftest."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.guest import uml
from support.guest.pulse import PATIENCE, Patience, TestbedFault

failed = pytest.StashKey[bool]()
"""Of a test whose body ran: whether it failed; of the session: whether one of its tests did."""


def fault(patience: Patience = PATIENCE) -> TestbedFault | None:
    """Return what is wrong with one of the guests that run now; None if all are well. Blocks."""
    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda guest: guest.examine(patience), tuple(uml.powered))
        return next((each for each in found if each is not None), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note a failure, and say of which guest it comes if one is dead."""
    if call.excinfo is not None and not call.excinfo.errisinstance((pytest.skip.Exception, TestbedFault)):
        call.excinfo = _explained(call.excinfo)
    report = yield
    if report.when == "call":  # type: ignore[attr-defined]
        item.stash[failed] = report.failed  # type: ignore[attr-defined]
    if report.failed:  # type: ignore[attr-defined]
        item.session.stash[failed] = True
    return report


def _explained(said: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    if (cause := fault()) is None:
        return said
    try:
        raise cause from said.value
    except TestbedFault:
        return pytest.ExceptionInfo.from_current()
