"""The verbs that change what people decide about drives and volumes, and their flags."""

from typing import Annotated

import typer

from directpv_cli.flags import (
    All,
    Dangerous,
    DriveIds,
    Drives,
    DryRun,
    Labels,
    Nodes,
    PodNames,
    PodNamespaces,
    Statuses,
    VolumeNames,
)
from directpv_cli.showing.lines import checked


def cordon(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Put no new volumes on drives."""
    from directpv_cli.commands import change
    from directpv_cli.reading.selection import drive_selection

    selection = checked(lambda: drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True))
    change.set_schedulable(selection, unschedulable=True, dry_run=dry_run)


def uncordon(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Allow new volumes on drives again."""
    from directpv_cli.commands import change
    from directpv_cli.reading.selection import drive_selection

    selection = checked(lambda: drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True))
    change.set_schedulable(selection, unschedulable=False, dry_run=dry_run)


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
    from directpv_cli.reading.selection import drive_selection

    selection = checked(
        lambda: drive_selection(nodes, drives, status, labels, ids, everything=all_drives, required=True)
    )
    change.set_labels(selection, changes, dry_run=dry_run)


def suspend_drives(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    dangerous: Dangerous = False,
    dry_run: DryRun = False,
) -> None:
    """Suspend all volumes of drives: pods that start from now on find an empty read-only directory in their place.

    Data and running pods are not touched. The exit status is 0 only if the drives' nodes know of it.
    """
    from directpv_cli.commands import suspend as command
    from directpv_cli.reading.selection import some_drives

    selection = checked(lambda: some_drives(nodes, drives, ids))
    command.require(dangerous)
    command.drives(selection, suspended=True, dry_run=dry_run)


def suspend_volumes(
    names: VolumeNames = None,
    nodes: Nodes = None,
    drives: Drives = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    dangerous: Dangerous = False,
    dry_run: DryRun = False,
) -> None:
    """Suspend volumes: pods that start from now on find an empty read-only directory in their place.

    Data and running pods are not touched. The exit status is 0 only if the volumes' nodes know of it.
    """
    from directpv_cli.commands import suspend as command
    from directpv_cli.reading.selection import Pods, some_volumes

    selection = checked(lambda: some_volumes(nodes, drives, names, pod_names, pod_namespaces))
    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    command.require(dangerous)
    command.volumes(selection, pods, suspended=True, dry_run=dry_run)


def resume_drives(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    dry_run: DryRun = False,
) -> None:
    """Resume suspended drives: pods find their data again as soon as they are restarted.

    The exit status is 0 only if the drives' nodes know of it.
    """
    from directpv_cli.commands import suspend as command
    from directpv_cli.reading.selection import some_drives

    command.drives(checked(lambda: some_drives(nodes, drives, ids)), suspended=False, dry_run=dry_run)


def resume_volumes(
    names: VolumeNames = None,
    nodes: Nodes = None,
    drives: Drives = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    dry_run: DryRun = False,
) -> None:
    """Resume suspended volumes: pods find their data again as soon as they are restarted.

    The exit status is 0 only if the volumes' nodes know of it.
    """
    from directpv_cli.commands import suspend as command
    from directpv_cli.reading.selection import Pods, some_volumes

    selection = checked(lambda: some_volumes(nodes, drives, names, pod_names, pod_namespaces))
    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    command.volumes(selection, pods, suspended=False, dry_run=dry_run)
