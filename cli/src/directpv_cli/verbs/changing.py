"""``cordon``, ``uncordon`` and ``label drives``: what people decide about drives."""

from collections.abc import Callable

from directpv_cli.showing.lines import checked
from directpv_cli.verbs.flags import All, DriveIds, Drives, DryRun, Ids, LabelChanges, Labels, Nodes, Statuses


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
        from directpv_cli.commands import change
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
    changes: LabelChanges,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    ids: Ids = None,
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
