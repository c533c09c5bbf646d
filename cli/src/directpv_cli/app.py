"""The verbs of ``kubectl directpv`` and their flags. Names and defaults are upstream's; bodies are in ``commands``.

Here is what is asked about a cluster; ``app_install`` and ``app_changes`` have the verbs that install and change.
"""

from pathlib import Path
from typing import Annotated

import typer

from directpv_cli.app_changes import (
    cordon,
    label_drives,
    resume_drives,
    resume_volumes,
    suspend_drives,
    suspend_volumes,
    uncordon,
)
from directpv_cli.app_install import install, uninstall
from directpv_cli.flags import (
    All,
    DriveIds,
    Drives,
    Kubeconfig,
    Labels,
    Nodes,
    NoHeaders,
    Output,
    PodNames,
    PodNamespaces,
    ShowLabels,
    Statuses,
    Timeout,
    VolumeNames,
)
from directpv_cli.reading.settings import settings
from directpv_cli.showing.lines import checked

app = typer.Typer(
    help="Manage the drives and volumes of DirectPV.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
list_app = typer.Typer(help="List drives or volumes.", no_args_is_help=True, rich_markup_mode=None)
label_app = typer.Typer(help="Set or remove labels.", no_args_is_help=True, rich_markup_mode=None)
suspend_app = typer.Typer(
    help="Let volumes show an empty read-only directory, so that their pods run without them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
resume_app = typer.Typer(
    help="Let suspended volumes show their data again.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def flags(
    nats_url: Annotated[
        str,
        typer.Option(
            "--nats-url",
            envvar="DIRECTPV_NATS_URL",
            help="NATS server of the installation [through kubectl if there is a kubeconfig, else the local stack's].",
        ),
    ] = settings.nats_url,
    kubeconfig: Kubeconfig = "",
    prefix: Annotated[
        str, typer.Option("--subject-prefix", envvar="DIRECTPV_PREFIX", help="Subject prefix of the installation.")
    ] = settings.prefix,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")] = False,
) -> None:
    """Take the flags that every verb has."""
    settings.nats_url, settings.kubeconfig = nats_url, kubeconfig
    settings.prefix, settings.quiet = prefix, quiet


app.command()(install)
app.command()(uninstall)


@app.command()
def discover(
    nodes: Nodes = None,
    drives: Drives = None,
    all_devices: Annotated[bool, typer.Option("--all", help="Also show devices that may not be initialised.")] = False,
    output_file: Annotated[Path, typer.Option("--output-file", help="File to write.")] = Path("drives.yaml"),
    output: Output = "",
    timeout: Timeout = 120.0,
) -> None:
    """Find devices that can become drives, and write them to drives.yaml."""
    from directpv_cli.commands import discover as command

    command.discover(nodes, drives, all_devices=all_devices, file=output_file, output=output, timeout=timeout)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="DRIVES.YAML", help="What discover wrote and you edited.")],
    dangerous: Annotated[
        bool, typer.Option("--dangerous", help="Yes, format these devices: all data on them is lost.")
    ] = False,
    output: Output = "",
    timeout: Timeout = 900.0,
) -> None:
    """Format the selected devices of drives.yaml and make them drives."""
    from directpv_cli.commands import discover as command

    command.init(file, dangerous=dangerous, output=output, timeout=timeout)


@app.command()
def info(output: Output = "") -> None:
    """Show capacity, volumes and drives of each node."""
    from directpv_cli.commands import info as command

    command.info(output)


@list_app.command("drives")
def list_drives(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    labels: Labels = None,
    show_labels: ShowLabels = False,
    all_drives: All = False,
    output: Output = "",
    no_headers: NoHeaders = False,
) -> None:
    """List drives; without selector, those that are Ready."""
    from directpv_cli.commands import listing
    from directpv_cli.reading.selection import drive_selection

    selection = checked(lambda: drive_selection(nodes, drives, status, labels, ids, everything=all_drives))
    listing.drives(selection, output=output, headers=not no_headers, show_labels=show_labels)


@list_app.command("volumes")
def list_volumes(
    names: VolumeNames = None,
    nodes: Nodes = None,
    drives: Drives = None,
    drive_id: Annotated[list[str] | None, typer.Option("--drive-id", help="Only volumes on these drives.")] = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    status: Statuses = None,
    labels: Labels = None,
    show_labels: ShowLabels = False,
    pvc: Annotated[bool, typer.Option("--pvc", help="Add a column with the claim.")] = False,
    all_volumes: All = False,
    output: Output = "",
    no_headers: NoHeaders = False,
) -> None:
    """List volumes; without selector, those that are Ready."""
    from directpv_cli.commands import listing
    from directpv_cli.reading.selection import Pods, volume_selection

    selection = checked(
        lambda: volume_selection(nodes, drives, drive_id, status, labels, names, everything=all_volumes)
    )
    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    listing.volumes(selection, pods, output=output, headers=not no_headers, show_labels=show_labels, pvc=pvc)


app.command()(cordon)
app.command()(uncordon)


@app.command()
def repair(
    ids: Annotated[list[str] | None, typer.Argument(metavar="DRIVE", help="Drive ids.")] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Throw a log away that cannot be replayed (xfs_repair -L): what was written last is lost."
        ),
    ] = False,
    disable_prefetch: Annotated[
        bool, typer.Option("--disable-prefetch", help="No prefetching (xfs_repair -P), should it get stuck.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look for damage and repair nothing (xfs_repair -n).")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for the outcome; the repair itself goes on.", min=1)
    ] = 86400.0,
) -> None:
    """Check and repair the file systems of drives that nothing uses; each is unmounted for that and mounted again.

    A drive with staged or published volumes, or with open files, is refused: cordon it and delete the pods first.
    Its state is Repairing meanwhile, and Ready or Error afterwards, whatever came of it. Unlike upstream's, which
    starts a Job and exits with 0, this waits; the exit status is 0 only if every drive was well or is repaired and
    Ready (with --dry-run: if no damage was found; with --no-wait: if every repair has begun). A repeat joins a
    running repair.
    """
    from directpv_cli.commands import repair as command
    from directpv_cli.reading.selection import drive_ids

    flags = command.Flags(force=force, disable_prefetch=disable_prefetch, dry_run=dry_run)
    command.repair(checked(lambda: drive_ids(ids)), flags, within=timeout if wait else 0.0)


@app.command()
def events(
    nodes: Nodes = None,
    since: Annotated[str, typer.Option("--since", help="Begin so long ago, for instance 30s, 15m, 2h, 7d.")] = "1h",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with new events until interrupted.")] = False,
    output: Output = "",
) -> None:
    """Show what happened to drives and volumes."""
    from directpv_cli.commands import events as command

    command.events(nodes, since=since, watch=watch, output=output)


app.add_typer(list_app, name="list")
app.add_typer(label_app, name="label")
app.add_typer(suspend_app, name="suspend")
app.add_typer(resume_app, name="resume")
label_app.command("drives")(label_drives)
suspend_app.command("drives")(suspend_drives)
suspend_app.command("volumes")(suspend_volumes)
resume_app.command("drives")(resume_drives)
resume_app.command("volumes")(resume_volumes)
for _alias in ("drive", "dr"):
    list_app.command(_alias, hidden=True)(list_drives)
    label_app.command(_alias, hidden=True)(label_drives)
for _alias in ("volume", "vol"):
    list_app.command(_alias, hidden=True)(list_volumes)
