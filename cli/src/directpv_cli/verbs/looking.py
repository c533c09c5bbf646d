"""``info``, ``list drives``, ``list volumes`` and ``events``: the verbs that change nothing."""

from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    AboutDrives,
    AboutVolumes,
    All,
    ContextPort,
    DriveIds,
    Drives,
    EventTypes,
    Kubeconfig,
    Labels,
    ListOutput,
    Nodes,
    NoHeaders,
    OnDrives,
    Output,
    PodNames,
    PodNamespaces,
    ShowClaims,
    ShowLabels,
    Since,
    SortBy,
    Statuses,
    VolumeNames,
    Watch,
    WatchList,
)


def info(output: Output = "") -> None:
    """Show capacity, volumes and drives of each node."""
    from directpv_cli.commands.looking import info as command

    command.info(output)


def list_drives(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    labels: Labels = None,
    show_labels: ShowLabels = False,
    all_drives: All = False,
    output: ListOutput = "",
    no_headers: NoHeaders = False,
    sort_by: SortBy = "",
    watch: WatchList = False,
) -> None:
    """List drives; without selector, those that are Ready."""
    from directpv_cli.commands.looking import lists
    from directpv_cli.reading.selection import drive_selection

    selection = checked(lambda: drive_selection(nodes, drives, status, labels, ids, everything=all_drives))
    flags = lists.Flags(output, not no_headers, show_labels, sort_by=sort_by, watch=watch)
    lists.drives(selection, flags)


def list_volumes(
    names: VolumeNames = None,
    nodes: Nodes = None,
    drives: Drives = None,
    drive_id: OnDrives = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    status: Statuses = None,
    labels: Labels = None,
    show_labels: ShowLabels = False,
    pvc: ShowClaims = False,
    all_volumes: All = False,
    output: ListOutput = "",
    no_headers: NoHeaders = False,
    sort_by: SortBy = "",
    watch: WatchList = False,
) -> None:
    """List volumes; without selector, those that are Ready, mounted or being deleted."""
    from directpv_cli.commands.looking import lists
    from directpv_cli.reading.selection import Pods, volume_selection

    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    required = None if pods == Pods.of(None, None) else False
    selection = checked(
        lambda: volume_selection(
            nodes, drives, drive_id, status, labels, names, everything=all_volumes, required=required
        )
    )
    flags = lists.Flags(output, not no_headers, show_labels, pvc, sort_by, watch)
    lists.volumes(selection, pods, flags)


def nats_context(port: ContextPort = 14222, kubeconfig: Kubeconfig = "") -> None:
    """Write a context for the nats CLI, with an observer's token: it hears everything, and commands nothing.

    \b
    For instance, while the port-forward that it names runs:
      nats --context directpv-cluster sub 'directpv.v1.evt.>'
      nats --context directpv-cluster micro ls
    """
    from directpv_cli.commands import nats_context as command

    command.nats_context(kubeconfig or settings.kubeconfig, port)


def events(
    nodes: Nodes = None,
    drive: AboutDrives = None,
    volume: AboutVolumes = None,
    kind: EventTypes = None,
    since: Since = "1h",
    watch: Watch = False,
    output: Output = "",
) -> None:
    """Show what happened to nodes, drives and volumes: age, node, type, object and cause, oldest first."""
    from directpv_cli.commands.looking import events as command
    from directpv_cli.reading.words import drive_words

    drives = checked(lambda: drive_words(drive))
    command.events(nodes, drives, volume, kind, since=since, watch=watch, output=output)
