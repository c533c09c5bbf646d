"""Composition root of the node agent."""

import contextlib
import os
import resource
import signal
import sys

from directpv_common.calls.scopes import task_group
from directpv_common.process.config import load
from directpv_common.process.lifecycle import run, stop_on_signal
from directpv_common.process.logs import configure_logging
from directpv_common.process.tracing import traced
from directpv_nodeagent.agent import Agent
from directpv_nodeagent.config import Config


async def serve(config: Config) -> None:
    """Run the agent until a signal or a fault."""
    async with task_group() as tasks:
        tasks.create_task(stop_on_signal(signal.SIGTERM, signal.SIGINT), name="signals")
        tasks.create_task(Agent(config).run(), name="agent")


def raise_limits() -> None:
    """Allow as many open files as the node does: each volume that is worked on takes a few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Console script ``directpv-nodeagent``."""
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-nodeagent")
    configure_logging()
    raise_limits()
    with traced("nodeagent"):
        run(lambda: serve(config))


if __name__ == "__main__":
    main()
