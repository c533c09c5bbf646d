"""``remove``: drives that are taken out of use."""

from directpv_cli.reading.words import DAY
from directpv_cli.showing.lines import checked
from directpv_cli.verbs.flags import (
    All,
    DriveIds,
    Drives,
    DryRun,
    Nodes,
    Output,
    RemovalTimeout,
    Statuses,
    Wait,
    WipeHow,
)


def remove(
    ids: DriveIds = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    wipe: WipeHow = "none",
    dry_run: DryRun = False,
    wait: Wait = True,
    timeout: RemovalTimeout = DAY,
    output: Output = "",
) -> None:
    """Take drives without volumes out of use: each is unmounted, and its device can be pulled or initialised again.

    The file system stays on it unless --wipe says otherwise; discover offers the device again, with force alone. A
    drive with volumes is refused, however dead it is. The order waits for a node that is away. Safe to repeat: the exit
    status is 0 only if every drive is gone (with --no-wait: if it is recorded).
    """
    from directpv_cli.commands import remove as command
    from directpv_cli.reading.selection import drive_selection
    from directpv_cli.reading.words import states
    from directpv_common.protocol.messages import Wipe

    selection = checked(lambda: drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True))
    (how,) = checked(lambda: states((wipe.replace(",", " "),), Wipe, "--wipe"))
    command.remove(selection, command.Flags(how, dry_run=dry_run, within=timeout if wait else 0.0, output=output))
