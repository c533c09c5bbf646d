"""``clean``: volumes that nobody has any more."""

from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    All,
    Drives,
    DryRun,
    IgnoreNotFound,
    Nodes,
    OnDrives,
    Output,
    PodNames,
    PodNamespaces,
    VolumeNames,
)


def clean(
    volumes: VolumeNames = None,
    nodes: Nodes = None,
    drives: Drives = None,
    drive_id: OnDrives = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    all_volumes: All = False,
    dry_run: DryRun = False,
    ignore_not_found: IgnoreNotFound = False,
    output: Output = "",
) -> None:
    """Delete volumes that nobody has any more, with their data.

    These are volumes without PersistentVolume, and those whose PersistentVolume is Released or Failed, as reclaim
    policy Retain leaves them; that itself is left to you. What is mounted, or was made just now, is kept. Without
    Kubernetes, as on a local stack, name the volumes. The exit status is 0 unless one could not be deleted, or is
    named and not there (--ignore-not-found: that is no error).
    """
    from directpv_cli.commands.changing import clean as command
    from directpv_cli.reading.selection import Pods, volume_selection

    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    selection = checked(
        lambda: volume_selection(
            nodes,
            drives,
            drive_id,
            None,
            None,
            volumes,
            everything=all_volumes,
            required=pods == Pods.of(None, None),
            wanted="names, --nodes, --drives, --drive-id, --pod-names, --pod-namespaces, or --all",
        )
    )
    command.clean(selection, pods, dry_run=dry_run, output=output, ignore_not_found=ignore_not_found)
