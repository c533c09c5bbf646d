"""Runs all benchmarks, or those named: ``python -m bench create node``; BASE names a commit to compare with."""

import asyncio
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from bench.base import checked_out, services_of
from bench.figures import Figure, Figures, show_table
from directpv_nodeagent.linux import syscalls
from support.nats import nats_server

ALL = ("ledger", "create", "shapes", "node", "agent", "events", "idle", "takeover", "footprint", "console")
NAMED = ("kubernetes", "resync", "scale")
"""Run only when named: they need the programs of Kubernetes, or minutes."""
COMPARED = ("create", "node", "agent", "events", "idle", "takeover", "footprint", "kubernetes")
"""Also run with the services of BASE, in their short form if they have one; the others compare with themselves."""


def main() -> None:
    """Print one table per benchmark, and the table of what users wait for."""
    chosen = sys.argv[1:] or ALL
    unknown = set(chosen) - {*ALL, *NAMED}
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join((*ALL, *NAMED))}")
    _keep_mounts_to_ourselves()
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}\n", flush=True)
    commit = os.environ.get("BASE", "")
    today: dict[str, Figure] = {}
    base: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="dpv-base-") as place, checked_out(commit, Path(place, "tree")) as tree:
        for name in chosen:
            module = importlib.import_module(f"bench.{name}")
            today.update(measured(name, module, short=False))
            if tree is not None and name in COMPARED:
                with services_of(tree):
                    base.update(_of_base(name, module, commit))
    show_table(today, base, commit[:12])


def _keep_mounts_to_ourselves() -> None:
    """Thousands of mounts would cost every program of the machine, and those of others would count here."""
    syscalls.unshare_mounts()
    subprocess.run(("mount", "--make-rprivate", "/"), check=True)


def measured(name: str, module: ModuleType, *, short: bool) -> dict[str, Figure]:
    """Run one benchmark; ``short``: only what the table needs."""
    begun, load = time.monotonic(), os.getloadavg()[0]
    bench = getattr(module, "compare", module.bench) if short else module.bench
    with tempfile.TemporaryDirectory(prefix="dpv-bench-") as directory:
        work = Path(directory)
        with nats_server(work / "nats") as server:
            figures: Figures = asyncio.run(bench(work, server.url)) or ()
    print(f"({name}: {time.monotonic() - begun:.0f} s, load {load:.1f} before it)\n", flush=True)
    return {figure.row: figure for figure in figures}


def _of_base(name: str, module: ModuleType, commit: str) -> dict[str, Figure]:
    """Return what the services of BASE give; those of long ago may not understand what this build starts them with."""
    print(f"the same with the services of {commit}:", flush=True)
    try:
        return measured(name, module, short=True)
    except (OSError, TimeoutError, subprocess.SubprocessError, RuntimeError, AssertionError) as error:
        print(f"({name}: {commit} cannot be measured: {type(error).__name__}: {error})\n", flush=True)
        return {}


if __name__ == "__main__":
    main()
