"""``cordon``, ``uncordon`` and ``label``: what people decide about drives and volumes."""

from collections.abc import Callable

from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    All,
    DriveIds,
    Drives,
    DryRun,
    Ids,
    LabelDrives,
    Labels,
    LabelVolumes,
    Nodes,
    OnDrives,
    PodNames,
    PodNamespaces,
    Statuses,
    VolumeIds,
)


def _scheduling(help_text: str, *, unschedulable: bool) -> Callable[..., None]:
    """Return ``cordon`` or ``uncordon``: the same flags, and the opposite."""

    def verb(
        ids: DriveIds = None,
        nodes: Nodes = None,
        drives: Drives = None,
        status: Statuses = None,
        all_drives: All = False,
        dry_run: DryRun = False,
    ) -> None:
        from directpv_cli.commands.changing import change
        from directpv_cli.reading.selection import drive_selection

        selection = checked(
            lambda: drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True)
        )
        change.set_schedulable(selection, unschedulable=unschedulable, dry_run=dry_run)

    verb.__doc__ = help_text
    return verb


cordon = _scheduling("Put no new volumes on drives.", unschedulable=True)
uncordon = _scheduling("Allow new volumes on drives again.", unschedulable=False)


def label_drives(
    words: LabelDrives,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    ids: Ids = None,
    labels: Labels = None,
    all_drives: All = False,
    dry_run: DryRun = False,
) -> None:
    """Label drives; storage classes choose drives by labels."""
    from directpv_cli.commands.changing import change
    from directpv_cli.reading.selection import changes_and_names, drive_selection

    changes, named = checked(lambda: changes_and_names(words))
    ids = [*(ids or ()), *named]
    selection = checked(
        lambda: drive_selection(nodes, drives, status, labels, ids, everything=all_drives, required=True)
    )
    change.label_drives(selection, changes, dry_run=dry_run)


def label_volumes(
    words: LabelVolumes,
    nodes: Nodes = None,
    drives: Drives = None,
    drive_id: OnDrives = None,
    pod_names: PodNames = None,
    pod_namespaces: PodNamespaces = None,
    status: Statuses = None,
    ids: VolumeIds = None,
    labels: Labels = None,
    all_volumes: All = False,
    dry_run: DryRun = False,
) -> None:
    """Label volumes; a label of the volume's pod with the same key takes its place when the pod starts."""
    from directpv_cli.commands.changing import change
    from directpv_cli.reading.selection import Pods, changes_and_names, volume_selection

    changes, named = checked(lambda: changes_and_names(words))
    ids = [*(ids or ()), *named]
    pods = checked(lambda: Pods.of(pod_names, pod_namespaces))
    selection = checked(
        lambda: volume_selection(
            nodes, drives, drive_id, status, labels, ids, everything=all_volumes, required=pods == Pods.of(None, None)
        )
    )
    change.label_volumes(selection, pods, changes, dry_run=dry_run)
