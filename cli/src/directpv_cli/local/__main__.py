"""Console script ``directpv``: a stack on this machine."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from directpv_cli.reaching.local_stack import DEFAULT_DIR, STATE_DIR
from directpv_cli.reading.statuses import Group
from directpv_cli.showing.terminal.ending import ended
from directpv_cli.showing.terminal.lines import checked, fail, plain, say
from directpv_cli.verbs.consoling import IDLE, Idle, IPv6, NoBrowser, Port
from directpv_common import __version__

if TYPE_CHECKING:
    from directpv_cli.local.stack import Stack

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    context_settings=HELP,
    help="Run DirectPV on this machine, on loop-backed drives that it creates itself.",
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print what was asked for, and end."""
    if wanted:
        typer.echo(f"directpv version {__version__}")
        raise typer.Exit


@app.callback()
def flags(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Take the flags that come before a command."""


StateDir = Annotated[Path, typer.Option("--state-dir", envvar=STATE_DIR, help="Where everything lives.")]
SomeStack = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        envvar=STATE_DIR,
        help=f"Where the stack is [that of DIRECTPV_NATS_URL, {DEFAULT_DIR}, or the only one here].",
    ),
]
TakenDown = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", envvar=STATE_DIR, help=f"Where the stack is [that of DIRECTPV_NATS_URL, or {DEFAULT_DIR}]."
    ),
]
VolumeName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the volume.")]


@app.command()
def up(
    context: typer.Context,
    nodes: Annotated[int, typer.Option("--nodes", help="Nodes to simulate, each with its own agent and drives.")] = 1,
    drives: Annotated[int, typer.Option("--drives", help="Drives per node.")] = 4,
    size: Annotated[str, typer.Option("--size", help="Size of a drive, for instance 512MiB or 2Gi (sparse).")] = "1GiB",
    controllers: Annotated[int, typer.Option("--controllers", help="Controllers; one leads, others stand by.")] = 1,
    nats_port: Annotated[
        int, typer.Option("--nats-port", help="Port of the bus on 127.0.0.1; 0 takes a free one.")
    ] = 4222,
    state_dir: StateDir = DEFAULT_DIR,
) -> None:
    """Start a stack, or start again what has ended of it.

    It consists of nats-server, controllers, and per node an agent and a CSI gateway. A stack that is there keeps its
    drives, volumes and flags, also after a reboot: only --state-dir need be repeated.
    """
    from directpv_cli.local import stack
    from directpv_cli.local.lifecycle import starting
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
        running = starting.started(options, _typed(context))
    except stack.StackError as error:
        fail(str(error))
    except ValueError as error:
        fail(f"--size: {error}")
    show(running)


def _typed(context: typer.Context) -> set[str]:
    """Return the names of the flags that were given, and not left to their defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


@app.command()
def down(
    state_dir: TakenDown = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Yes, delete the data of its volumes.")] = False,
) -> None:
    """Stop the stack, delete its volumes, and leave nothing behind.

    No process, mount, loop device or file of it stays. Volumes that hold data are named, and asked about; where nobody
    can be asked (standard input is no terminal), nothing is done without --yes.
    """
    from directpv_cli.local import finding, stack
    from directpv_cli.local.lifecycle import stop
    from directpv_cli.local.machine import holdings

    try:
        directory = finding.require(finding.named(state_dir, os.environ), DEFAULT_DIR).absolute()
        stack.load(directory)
        held = holdings.of(directory)
        if held.matter and not yes and not stop.begun(directory):
            _ask(f"the stack in {directory} goes for good: {held}")
        gone = stop.down(directory, held.gone, lambda what: say(f"waiting for {plain(what)}"))
    except stack.StackError as error:
        fail(str(error))
    say(f"Stack stopped, {gone} deleted; nothing is left.")


def _ask(what: str) -> None:
    """Let a person say yes; the program ends if there is none, or he does not."""
    if not sys.stdin.isatty():
        fail(f"{what}; nothing was done: add --yes if that is what you want")
    say(plain(what))
    if not typer.confirm("Delete all of it?", err=True):
        fail("nothing was done")


@app.command()
def status(state_dir: SomeStack = None) -> None:
    """Show the processes, sockets and devices of the stack; exits with 1 if a process is missing."""
    from directpv_cli.local.show import show

    running = _stack(state_dir)
    show(running)
    if not all(process.alive for process in running.running):
        raise typer.Exit(1)


@app.command("console")
def console(
    port: Port = 0, ipv6: IPv6 = False, no_browser: NoBrowser = False, idle: Idle = IDLE, state_dir: SomeStack = None
) -> None:
    """Serve a web console of the stack on this machine, as kubectl directpv console does."""
    from directpv_cli.console.command import console as command
    from directpv_cli.console.serving.server import Options
    from directpv_cli.reading.settings import settings

    settings.nats_url = _stack(state_dir).nats_url
    command(Options(port, ipv6, idle), browser=not no_browser)


@app.command("nats-context")
def nats_context(state_dir: SomeStack = None) -> None:
    """Write a context for the nats CLI, with an observer's key: nats --context directpv sub 'directpv.v1.evt.>'."""
    from directpv_cli.local import finding, stack
    from directpv_cli.local import nats_context as command

    try:
        path = command.write(finding.find(finding.named(state_dir, os.environ), DEFAULT_DIR))
    except (stack.StackError, OSError) as error:
        fail(str(error))
    say(f"{path} written; use it by: nats --context {command.CONTEXT} micro ls")


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running at the end.")] = False,
) -> None:
    """Show the main job from end to end on a stack of its own, then remove it."""
    from directpv_cli.local import demo as command
    from directpv_cli.local import stack
    from directpv_cli.local.machine import disks

    try:
        command.demo(keep=keep)
    except (stack.StackError, disks.DiskError, command.DemoError) as error:
        fail(str(error))


volume = typer.Typer(
    context_settings=HELP,
    help="Volumes of the stack on this machine: make, mount, unmount and delete them.",
    cls=Group,
    rich_markup_mode=None,
)
app.add_typer(volume, name="volume")


def _stack(state_dir: Path | None) -> "Stack":
    """Return the stack that is meant; the program ends if there is none."""
    from directpv_cli.local import finding
    from directpv_cli.local.stack import StackError

    try:
        return finding.find(finding.named(state_dir, os.environ), DEFAULT_DIR)
    except StackError as error:
        fail(str(error))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """End the program with a line if a volume could not be made, mounted or deleted."""
    from directpv_cli.local.calling import VolumeError

    try:
        yield
    except VolumeError as error:
        fail(str(error))


@volume.command("create")
def volume_create(
    name: VolumeName,
    size: Annotated[str, typer.Option("--size", help="For instance 64MiB, 2Gi or 1.5G; 1 MiB at least.")] = "64MiB",
    node: Annotated[str, typer.Option("--node", help="On this node [any].")] = "",
    state_dir: SomeStack = None,
) -> None:
    """Make a volume on one of the drives."""
    from directpv_cli.local import volumes
    from directpv_cli.local.sizes import volume_size

    wanted = checked(lambda: volume_size(size))
    with _told():
        volumes.create(_stack(state_dir), name, wanted, node)


@volume.command("list")
def volume_list(state_dir: SomeStack = None) -> None:
    """List volumes and where they are mounted."""
    from directpv_cli.local import volumes

    with _told():
        volumes.show(_stack(state_dir))


@volume.command("mount")
def volume_mount(
    name: VolumeName,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Directory; made if it is not there.")],
    state_dir: SomeStack = None,
) -> None:
    """Mount a volume at a directory."""
    from directpv_cli.local import volumes

    with _told():
        volumes.mount(_stack(state_dir), name, path)


@volume.command("unmount")
def volume_unmount(name: VolumeName, state_dir: SomeStack = None) -> None:
    """Unmount a volume; its data stays."""
    from directpv_cli.local import volumes

    with _told():
        volumes.unmount(_stack(state_dir), name)


@volume.command("rm")
def volume_rm(name: VolumeName, state_dir: SomeStack = None) -> None:
    """Delete a volume that is not mounted, with its data."""
    from directpv_cli.local import volumes

    with _told():
        volumes.remove(_stack(state_dir), name)


def main() -> None:
    """Run ``directpv``."""
    ended(lambda: app(prog_name="directpv"))


if __name__ == "__main__":
    main()
