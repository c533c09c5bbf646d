"""Console script ``directpv``: a stack on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from directpv_cli.showing.ending import ended
from directpv_cli.showing.lines import fail, say

app = typer.Typer(
    help="Run DirectPV on this machine, on loop-backed drives that it creates itself.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StateDir = Annotated[Path, typer.Option("--state-dir", envvar="DIRECTPV_STATE_DIR", help="Where everything lives.")]
DEFAULT_DIR = Path("/var/lib/directpv-local")


@app.command()
def up(
    nodes: Annotated[int, typer.Option("--nodes", help="Nodes to simulate, each with its own agent and drives.")] = 1,
    drives: Annotated[int, typer.Option("--drives", help="Drives per node.")] = 4,
    size: Annotated[str, typer.Option("--size", help="Size of a drive, for instance 512MiB or 2Gi (sparse).")] = "1GiB",
    controllers: Annotated[int, typer.Option("--controllers", help="Controllers; one leads, others stand by.")] = 1,
    nats_port: Annotated[
        int, typer.Option("--nats-port", help="Port of the bus on 127.0.0.1; 0 takes a free one.")
    ] = 4222,
    state_dir: StateDir = DEFAULT_DIR,
) -> None:
    """Start nats-server, controller, node agents and CSI gateways."""
    from directpv_cli.local import stack, start
    from directpv_cli.local.show import show
    from directpv_common.protocol.units import parse_bytes

    try:
        options = stack.Options(
            directory=str(state_dir.absolute()),
            nodes=nodes,
            drives=drives,
            drive_size=parse_bytes(size),
            controllers=controllers,
            nats_port=nats_port,
        )
        show(start.up(options))
    except (stack.StackError, ValueError) as error:
        fail(str(error))


@app.command()
def down(state_dir: StateDir = DEFAULT_DIR) -> None:
    """Stop the stack and leave nothing behind: no process, mount, loop device or file."""
    from directpv_cli.local import stack, stop

    try:
        stop.down(state_dir.absolute())
    except stack.StackError as error:
        fail(str(error))
    say("Stack stopped; nothing is left.")


@app.command()
def status(state_dir: StateDir = DEFAULT_DIR) -> None:
    """Show the processes, sockets and devices of the stack; exits with 1 if a process is missing."""
    from directpv_cli.local import stack
    from directpv_cli.local.show import show

    try:
        running = stack.load(state_dir.absolute())
    except stack.StackError as error:
        fail(str(error))
    show(running)
    if not all(process.alive for process in running.running):
        raise typer.Exit(1)


@app.command("nats-context")
def nats_context(state_dir: StateDir = DEFAULT_DIR) -> None:
    """Write a context for the nats CLI, with an observer's key: nats --context directpv sub 'directpv.v1.evt.>'."""
    from directpv_cli.local import nats_context as command
    from directpv_cli.local import stack

    try:
        path = command.write(stack.load(state_dir.absolute()))
    except (stack.StackError, OSError) as error:
        fail(str(error))
    say(f"{path} written; use it by: nats --context {command.CONTEXT} micro ls")


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running at the end.")] = False,
) -> None:
    """Show the main job from end to end on a stack of its own, then remove it."""
    from directpv_cli.local import demo as command
    from directpv_cli.local import disks, stack

    try:
        command.demo(keep=keep)
    except (stack.StackError, disks.DiskError, command.DemoError) as error:
        fail(str(error))


def main() -> None:
    """Run ``directpv``."""
    ended(lambda: app(prog_name="directpv"))


if __name__ == "__main__":
    main()
