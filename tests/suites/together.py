"""A plugin of pytest: ``--dist loadgroup`` hands out tests one by one, those of a module that share something together.

In another worker what they share would be set up once more, and tests that build on the ones before would miss it.

Instead of pytest-xdist's own groups: those are written into the tests' ids, where pytest 9.2 looks no more, so that
tests are spread as if they had none (pytest-dev/pytest-xdist, issue 1386).
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_SHARES: Final = 'scope="module"'
"""How a fixture, or an event loop, says that its module has one of it."""


class Together(LoadScopeScheduling):
    """Units of work: a test, or a module."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._top = config.rootpath

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if shares(self._top / file) else nodeid


@cache
def shares(module: Path) -> bool:
    """Tell whether a fixture of a module, or of the conftest beside it, is one for all tests of the module."""
    files = (module, module.with_name("conftest.py"))
    return any(_SHARES in file.read_text() for file in files if file.exists())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., None]) -> Together | None:
    """Take the place of pytest-xdist's own."""
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None
