"""Debian's promtool and Prometheus, and what metrics say in Prometheus' text format."""

import functools
import re
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).parents[2]
_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Name and labels to value."""


@functools.cache
def program(name: str) -> Path:
    """Return ``promtool`` or ``prometheus``; the first time it is fetched."""
    done = subprocess.run([TOP / "scripts/fetch-prometheus"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip(), name)


def lint(text: str) -> list[str]:
    """Return what promtool has against metrics in text format."""
    argv = [program("promtool"), "check", "metrics"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).splitlines()


def scrape(port: int) -> str:
    """Return the metrics that a program on loopback serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return reply.read().decode()  # type: ignore[no-any-return]


def parsed(text: str) -> Series:
    """Return all series of metrics in text format."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _SERIES.match(line)
            assert match is not None, line
            labels = frozenset(_LABEL.findall(match["labels"] or ""))
            found[match["name"], labels] = float(match["value"])
    return found


def values(series: Series, name: str, *by: str, **only: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric where the labels ``only`` hold, by the labels ``by``."""
    return {
        tuple(dict(labels)[label] for label in by): value
        for (found, labels), value in series.items()
        if found == name and only.items() <= dict(labels).items()
    }
