"""Run the programs as a person does, and look at what they left."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from directpv_cli.local.lifecycle.stop import is_udevd
from directpv_cli.local.machine import disks, processes
from support import forked, forking
from support.cluster import Cluster

BIN = Path(sys.executable).parent
PLUGIN = BIN / "kubectl-directpv"
SECONDS = 180
UDEVD_SECONDS = 10.0
"""Until a udevd has ended, after the last stack has."""


def run(program: str, *argv: str, url: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DIRECTPV_NATS_URL": url} if url else dict(os.environ)
    return _run(program, argv, env, cwd)


def _run(
    program: str, argv: tuple[str, ...], env: dict[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    if program in forking.PROGRAMS:
        return forked.run(program, *argv, env=env, cwd=cwd, within=SECONDS)
    command = [BIN / program, *argv]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)


async def run_at(running: Cluster, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program against this stack."""
    stack = running.stack
    env = {**os.environ, "DIRECTPV_NATS_URL": stack.nats_url, "DIRECTPV_STATE_DIR": str(stack.directory)}
    return await asyncio.to_thread(_run, program, argv, env)


async def plugin(running: Cluster, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the plugin against this stack."""
    return await run_at(running, "kubectl-directpv", *argv)


async def drives(running: Cluster) -> dict[str, dict[str, Any]]:
    """Return the status of every drive, by id, as the plugin shows it."""
    listed = await plugin(running, "list", "drives", "--all", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    return {item["metadata"]["name"]: item["status"] for item in json.loads(listed.stdout)["items"]}


def traces(directory: Path) -> list[str]:
    """Return everything on this machine that belongs to the stack in ``directory``.

    A udevd that it started serves all stacks, and ends with the last of them.
    """
    found = [str(directory)] if directory.exists() else []
    found += disks.attached(directory)
    found += disks.mounts_of(directory, [])
    end = time.monotonic() + UDEVD_SECONDS
    while (left := processes.marked(directory)) and all(map(is_udevd, left)) and time.monotonic() < end:
        if _others(directory):
            return found
        time.sleep(0.1)
    return found + [f"{process.name} {process.pid}" for process in left]


def _others(directory: Path) -> bool:
    """Tell whether another stack has anything but a udevd on this machine."""
    running = processes.by_stack()
    return any(not is_udevd(each) for other, some in running.items() if other != str(directory) for each in some)
