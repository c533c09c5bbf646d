"""What ``up`` and ``status`` print."""

import os

from directpv_cli.local.machine import holdings
from directpv_cli.local.nats_context import CONTEXT
from directpv_cli.local.stack import Stack
from directpv_cli.reaching.local_stack import STATE_DIR
from directpv_cli.reaching.way import way
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.lines import plain, say
from directpv_common.protocol.errors import DirectPVError

ENFORCED_NOT = (
    "[yellow]WARNING[/yellow] this kernel's XFS has no project quota: volume sizes are [bold]not enforced[/bold] "
    "(--quota=best-effort). Never run servers so."
)


def show(stack: Stack) -> None:
    """Print processes, nodes and the next steps."""
    rows = [[process.name, str(process.pid), "running" if process.alive else "ended"] for process in stack.running]
    tables.show(["PROCESS", "PID", Column("STATE", state=True)], rows)
    tables.show(
        ["NODE", Column("DEVICES", folds=24), Column("CSI SOCKET", folds=24)],
        [[node.name, " ".join(node.devices), f"unix://{node.csi_socket}"] for node in stack.nodes],
    )
    if stack.quota == "best-effort":
        say(ENFORCED_NOT)
    say(f"Bus: [bold]{plain(stack.nats_url)}[/bold], logs: {plain(str(stack.directory / 'logs'))}\n")
    for line in next_steps(stack):
        say(plain(line))


def next_steps(stack: Stack) -> list[str]:
    """Return what to type next, as the stack is now."""
    if missing := [name for name in stack.services() if not stack.runs(name)]:
        return [f"{', '.join(missing)} ended; `directpv up{_flag(stack)}` starts again what has, volumes stay"]
    export = [] if _is_found(stack) else [f"export {STATE_DIR}={stack.directory}   # for both programs"]
    if not holdings.initialised(stack.directory):
        return [
            "Next:",
            *export,
            "kubectl-directpv discover && kubectl-directpv init drives.yaml --dangerous",
            "directpv volume create mine && directpv volume mount mine /mnt/mine",
        ]
    return [
        "Look:",
        *export,
        "kubectl-directpv status; kubectl-directpv list drives; directpv volume list; kubectl-directpv events --watch",
        f"directpv nats-context; nats --context {CONTEXT} sub 'directpv.v1.evt.>'; nats --context {CONTEXT} micro ls",
    ]


def _is_found(stack: Stack) -> bool:
    """Tell whether the plugin would reach this very stack without being told."""
    try:
        return way("", "", os.environ, os.path.exists) == stack.nats_url
    except DirectPVError:
        return False


def _flag(stack: Stack) -> str:
    return "" if _is_found(stack) else f" --state-dir {stack.directory}"
