"""The verbs of ``kubectl directpv`` and their flags. Names and defaults are upstream's; bodies are in ``commands``."""

from pathlib import Path
from typing import Annotated

import typer

from directpv_cli.session import settings

app = typer.Typer(
    help="Manage the drives and volumes of DirectPV.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
list_app = typer.Typer(help="List drives or volumes.", no_args_is_help=True, rich_markup_mode=None)
label_app = typer.Typer(help="Set or remove labels.", no_args_is_help=True, rich_markup_mode=None)

Nodes = Annotated[list[str] | None, typer.Option("--nodes", "-n", help="Only these nodes; ranges such as n{1...4}.")]
Drives = Annotated[
    list[str] | None, typer.Option("--drives", "-d", help="Only these devices; ranges such as sd{a...f}.")
]
Statuses = Annotated[list[str] | None, typer.Option("--status", help="Only objects in this state.")]
Labels = Annotated[list[str] | None, typer.Option("--labels", help="Only objects with this label, KEY=VALUE.")]
Kubeconfig = Annotated[str, typer.Option("--kubeconfig", help="Path of the kubeconfig file of the cluster.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")]
Output = Annotated[str, typer.Option("--output", "-o", help="wide, json or yaml.")]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the header line.")]
ShowLabels = Annotated[bool, typer.Option("--show-labels", help="Add a column with labels.")]
All = Annotated[bool, typer.Option("--all", help="All objects, whatever the other selectors say.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for all nodes.", min=1)]


@app.callback()
def flags(
    nats_url: Annotated[
        str, typer.Option("--nats-url", envvar="DIRECTPV_NATS_URL", help="NATS server of the installation.")
    ] = settings.nats_url,
    prefix: Annotated[
        str, typer.Option("--subject-prefix", envvar="DIRECTPV_PREFIX", help="Subject prefix of the installation.")
    ] = settings.prefix,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages, no progress.")] = False,
) -> None:
    """Take the flags that every verb has."""
    settings.nats_url, settings.prefix, settings.quiet = nats_url, prefix, quiet


@app.command()
def install(
    node_selector: Annotated[
        list[str] | None, typer.Option("--node-selector", help="Only nodes with this label have drives: KEY=VALUE.")
    ] = None,
    tolerations: Annotated[
        list[str] | None, typer.Option("--tolerations", help="Taint that the pods tolerate: KEY[=VALUE]:EFFECT.")
    ] = None,
    registry: Annotated[str, typer.Option("--registry", help="Registry of all images [quay.io].")] = "",
    org: Annotated[str, typer.Option("--org", help="Organisation of all images [minio].")] = "",
    image: Annotated[str, typer.Option("--image", help="Name and tag of our image.")] = "",
    sidecar_image: Annotated[
        list[str] | None,
        typer.Option("--sidecar-image", help="Whole image of a sidecar, with its tag or digest: NAME=IMAGE."),
    ] = None,
    image_pull_secrets: Annotated[
        list[str] | None, typer.Option("--image-pull-secrets", help="Secrets to pull images with.")
    ] = None,
    apparmor_profile: Annotated[str, typer.Option("--apparmor-profile", help="AppArmor profile of node pods.")] = "",
    seccomp_profile: Annotated[str, typer.Option("--seccomp-profile", help="Seccomp profile of the node agent.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json: print objects, use no cluster.")] = "",
    kube_version: Annotated[
        str, typer.Option("--kube-version", help="Version of Kubernetes to print objects for [newest supported].")
    ] = "",
    openshift: Annotated[
        bool, typer.Option("--openshift", help="Red Hat's sidecars, and bindings to its SCCs.")
    ] = False,
    nats_url: Annotated[str, typer.Option("--nats-url", help="Use this NATS server instead of installing one.")] = "",
    nats_leaf_url: Annotated[
        str,
        typer.Option(
            "--nats-leaf-url",
            help="Where that NATS takes leaf nodes; without it, nodes cannot mount volumes while it is away.",
        ),
    ] = "",
    nats_replicas: Annotated[
        int | None, typer.Option("--nats-replicas", help="NATS servers: 3 or 1 [3; 1 on a cluster of one node].")
    ] = None,
    controller_replicas: Annotated[
        int | None, typer.Option("--controller-replicas", help="Controllers [3; 1 on a cluster of one node].")
    ] = None,
    on_predicted_failure: Annotated[
        str,
        typer.Option("--on-predicted-failure", help="report; or cordon: drives that expect to fail take no volumes."),
    ] = "report",
    init_requests: Annotated[
        str,
        typer.Option("--init-requests", help="off: nobody formats devices by DirectPVInitRequest objects."),
    ] = "on",
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait until everything runs.", min=0)] = 0.0,
    kubeconfig: Kubeconfig = "",
    quiet: Quiet = False,
) -> None:
    """Install into a Kubernetes cluster, over an earlier installation or upstream's to upgrade it.

    Kubelet's folder is taken from KUBELET_DIR_PATH. Running pods and their volumes are not disturbed. The exit status
    is 0 only if every object is in place (with --wait: and every pod runs).
    """
    from directpv_cli.commands import install as command

    settings.quiet = settings.quiet or quiet
    flags = command.Flags(
        node_selector=node_selector or (),
        tolerations=tolerations or (),
        registry=registry,
        org=org,
        image=image,
        sidecar_images=sidecar_image or (),
        image_pull_secrets=image_pull_secrets or (),
        apparmor_profile=apparmor_profile,
        seccomp_profile=seccomp_profile,
        kube_version=kube_version or str(command.NEWEST),
        openshift=openshift,
        kubelet_dir=command.kubelet_dir(),
        nats_url=nats_url,
        nats_leaf_url=nats_leaf_url,
        nats_replicas=3 if nats_replicas is None else nats_replicas,
        controller_replicas=3 if controller_replicas is None else controller_replicas,
        subject_prefix=settings.prefix,
        on_predicted_failure=on_predicted_failure,
        init_requests=init_requests,
    )
    alone = nats_replicas is None and controller_replicas is None
    command.install(flags, command.How(output=output, kubeconfig=kubeconfig, wait=wait, alone=alone))


@app.command()
def uninstall(
    dangerous: Annotated[
        bool, typer.Option("--dangerous", help="Delete the records of all drives and volumes, too.", hidden=True)
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait until all is gone.", min=1)] = 120.0,
    kubeconfig: Kubeconfig = "",
    quiet: Quiet = False,
) -> None:
    """Remove the installation; drives, volumes and their records stay, and running pods keep their mounts."""
    from directpv_cli.commands import install as command

    settings.quiet = settings.quiet or quiet
    command.uninstall(dangerous=dangerous, kubeconfig=kubeconfig, within=timeout)


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
    ids: Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...", help="Drive ids.")] = None,
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
    from directpv_cli.commands.selection import drive_selection

    selection = drive_selection(nodes, drives, status, labels, ids, everything=all_drives)
    listing.drives(selection, output=output, headers=not no_headers, show_labels=show_labels)


@list_app.command("volumes")
def list_volumes(
    names: Annotated[list[str] | None, typer.Argument(metavar="[VOLUME]...", help="Volume names.")] = None,
    nodes: Nodes = None,
    drives: Drives = None,
    drive_id: Annotated[list[str] | None, typer.Option("--drive-id", help="Only volumes on these drives.")] = None,
    pod_names: Annotated[list[str] | None, typer.Option("--pod-names", help="Only volumes of these pods.")] = None,
    pod_namespaces: Annotated[
        list[str] | None, typer.Option("--pod-namespaces", help="Only in these namespaces.")
    ] = None,
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
    from directpv_cli.commands.selection import volume_selection

    selection = volume_selection(nodes, drives, drive_id, status, labels, names, everything=all_volumes)
    pods = listing.Pods.of(pod_names, pod_namespaces)
    listing.volumes(selection, pods, output=output, headers=not no_headers, show_labels=show_labels, pvc=pvc)


@app.command()
def cordon(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...", help="Drive ids.")] = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Put no new volumes on drives."""
    from directpv_cli.commands import change
    from directpv_cli.commands.selection import drive_selection

    selection = drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True)
    change.set_schedulable(selection, unschedulable=True, dry_run=dry_run)


@app.command()
def uncordon(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[DRIVE]...", help="Drive ids.")] = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Allow new volumes on drives again."""
    from directpv_cli.commands import change
    from directpv_cli.commands.selection import drive_selection

    selection = drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True)
    change.set_schedulable(selection, unschedulable=False, dry_run=dry_run)


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
    from directpv_cli.commands.selection import drive_ids

    flags = command.Flags(force=force, disable_prefetch=disable_prefetch, dry_run=dry_run)
    command.repair(drive_ids(ids), flags, within=timeout if wait else 0.0)


@label_app.command("drives")
def label_drives(
    changes: Annotated[list[str], typer.Argument(metavar="KEY=VALUE|KEY-...", help="Labels to set, or to remove.")],
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    ids: Annotated[list[str] | None, typer.Option("--ids", help="Only these drives.")] = None,
    labels: Labels = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Label drives; storage classes choose drives by labels."""
    from directpv_cli.commands import change
    from directpv_cli.commands.selection import drive_selection

    selection = drive_selection(nodes, drives, status, labels, ids, everything=all_drives, required=True)
    change.set_labels(selection, changes, dry_run=dry_run)


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
for _alias in ("drive", "dr"):
    list_app.command(_alias, hidden=True)(list_drives)
    label_app.command(_alias, hidden=True)(label_drives)
for _alias in ("volume", "vol"):
    list_app.command(_alias, hidden=True)(list_volumes)
