"""What ``up`` and ``status`` print."""

from directpv_cli.local.nats_context import CONTEXT
from directpv_cli.local.stack import Stack
from directpv_cli.showing import tables
from directpv_cli.showing.cells import Column
from directpv_cli.showing.lines import say

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
    say(
        f"Bus: [bold]{stack.nats_url}[/bold], logs: {stack.directory / 'logs'}\n\nTry:\n"
        f"export DIRECTPV_NATS_URL={stack.nats_url}\n"
        "kubectl-directpv discover && kubectl-directpv init drives.yaml --dangerous\n"
        "kubectl-directpv info; kubectl-directpv list drives; kubectl-directpv events --watch\n"
        f"directpv nats-context; nats --context {CONTEXT} sub 'directpv.v1.evt.>'; nats --context {CONTEXT} micro ls"
    )
