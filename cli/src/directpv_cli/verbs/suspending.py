"""``suspend`` and ``resume``: whether pods find their data."""

from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import DriveIds, Drives, DryRun, EmptyFolders, Nodes, PodNames, PodNamespaces, VolumeNames


def suspend_drives(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    dangerous: EmptyFolders = False,
    dry_run: DryRun = False,
) -> None:
    """Suspend all volumes of drives: pods that start from now on find an empty read-only directory in their place.

    Data and running pods are not touched. The exit status is 0 only if the drives' nodes know of it.
    """
    from directpv_cli.commands.changing import suspend as command
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
    dangerous: EmptyFolders = False,
    dry_run: DryRun = False,
) -> None:
    """Suspend volumes: pods that start from now on find an empty read-only directory in their place.

    Data and running pods are not touched. The exit status is 0 only if the volumes' nodes know of it.
    """
    from directpv_cli.commands.changing import suspend as command
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
    from directpv_cli.commands.changing import suspend as command
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
    from directpv_cli.commands.changing import suspend as command
    from directpv_cli.reading.selection import Pods, some_volumes

    selection = checked(lambda: some_volumes(nodes, drives, names, pod_names, pod_namespaces))
    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    command.volumes(selection, pods, suspended=False, dry_run=dry_run)
