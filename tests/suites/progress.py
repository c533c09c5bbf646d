"""A plugin of pytest: notes in the file that ``SUITE_PROGRESS`` names how many tests there are, and each that ends."""

import json
import os
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "SUITE_PROGRESS"


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get(VARIABLE)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Notes(Path(path)))


class Notes:
    """Lines of JSON: ``{"tests": 438}`` first, then ``{"test": id, "result": "passed", "seconds": 0.2}``."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._total = 0
        self._seconds: dict[str, float] = {}
        self._worst: dict[str, str] = {}

    def _note(self, **what: object) -> None:
        self._file.write(json.dumps(what) + "\n")

    def _has(self, total: int) -> None:
        if total != self._total:
            self._total = total
            self._note(tests=total)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:  # none where workers collect
            self._has(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._has(len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the worst of set-up, call and teardown; the last ends the test."""
        test = report.nodeid
        self._seconds[test] = self._seconds.get(test, 0.0) + report.duration
        if report.failed or (report.skipped and test not in self._worst):
            self._worst[test] = "failed" if report.failed else "skipped"
        if report.when == "teardown":
            seconds = round(self._seconds.pop(test), 2)
            self._note(test=test, result=self._worst.pop(test, "passed"), seconds=seconds)
