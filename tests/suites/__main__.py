"""``python -m suites`` runs all suites; with ``--all`` also tests marked ``long``; with a name one, on the terminal."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator

from suites.run import TOP, Run, ended_by_signals
from suites.show import Show
from suites.table import STEPS, SUITES, Suite
from support.udev import running_udevd


def main() -> int:
    options = _options()
    os.chdir(TOP)
    chosen = [suite for suite in SUITES if suite.name in (options.suite or [suite.name])]
    try:
        with ended_by_signals(), _devices(chosen):
            if len(options.suite) == 1:
                return _one(chosen[0], options.more)
            run = Run(chosen, everything=options.all, show=Show(), cores=float(os.cpu_count() or 1))
            return 0 if run.go() else 1
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="suites", description=__doc__)
    parser.add_argument(
        "suite", nargs="*", choices=[[], *(suite.name for suite in SUITES)], help="all if none is named"
    )
    parser.add_argument("--all", action="store_true", help="tests marked `long` too")
    parser.add_argument("--more", default="", help="further arguments for pytest, with one suite")
    options = parser.parse_args()
    names = [suite.name for suite in SUITES]
    if unknown := set(options.suite).difference(names):
        parser.error(f"unknown suite {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    return options


@contextlib.contextmanager
def _devices(chosen: list[Suite]) -> Iterator[None]:
    """Have one udevd for all suites that use devices of this machine."""
    if not any("devices" in suite.needs for suite in chosen):
        yield
        return
    with running_udevd():
        yield


def _one(suite: Suite, more: str) -> int:
    """Run a suite on the terminal, with all its tests; return its exit status."""
    for step in (step for step in STEPS if step.name in suite.needs):
        began = time.monotonic()
        print(f"{step.does}, if it is not there (up to {step.seconds} s) ...", flush=True)
        for command in step.commands:
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        print(f"  {step.name} is there after {time.monotonic() - began:.0f} s", flush=True)
    print(f"{suite.name}: {suite.proves}; about {suite.long_seconds} s", flush=True)
    codes = [subprocess.run([*command, *shlex.split(more)], check=False).returncode for command in suite.commands]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
