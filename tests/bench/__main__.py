"""Runs all benchmarks, or those named: ``python -m bench create node``."""

import asyncio
import importlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from support.nats import nats_server

ALL = ("ledger", "create", "shapes", "node", "events", "takeover", "console", "footprint")
NAMED = ("kubernetes",)
"""Run only when named: it needs the programs of Kubernetes."""


def main() -> None:
    """Print one table per benchmark."""
    chosen = sys.argv[1:] or ALL
    unknown = set(chosen) - {*ALL, *NAMED}
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join((*ALL, *NAMED))}")
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}\n", flush=True)
    for name in chosen:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="dpv-bench-") as directory:
            work = Path(directory)
            with nats_server(work / "nats") as server:
                asyncio.run(importlib.import_module(f"bench.{name}").bench(work, server.url))
        print(f"({name}: {time.monotonic() - begun:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
