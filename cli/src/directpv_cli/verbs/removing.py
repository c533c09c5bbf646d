"""``remove``: drives that are taken out of use."""

from directpv_cli.reading.words import DAY
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    All,
    Drives,
    DryRun,
    IgnoreNotFound,
    LoseData,
    Nodes,
    Output,
    RemovalTimeout,
    Removed,
    Statuses,
    Wait,
    WipeHow,
    WithVolumes,
)


def remove(
    ids: Removed = None,
    nodes: Nodes = None,
    drives: Drives = None,
    status: Statuses = None,
    all_drives: All = False,
    wipe: WipeHow = "none",
    lost: WithVolumes = False,
    dangerous: LoseData = False,
    dry_run: DryRun = False,
    ignore_not_found: IgnoreNotFound = False,
    wait: Wait = True,
    timeout: RemovalTimeout = DAY,
    output: Output = "",
) -> None:
    """Take drives without volumes out of use: each is unmounted, and its device can be pulled or initialised again.

    The file system stays on it unless --wipe says otherwise; discover offers the device again, with force alone. A
    drive with volumes is refused. The order waits for a node that is away. Safe to repeat: the exit status is 0 only if
    every drive is gone (with --no-wait: if it is recorded).

    With --lost, drives that are dead go with their volumes; `remove node NAME` gives up all drives of a node that is
    gone for good. Both show what is on them, and need --dangerous; claims and pods are left to you.

    Of what was removed before it is said when, as long as the controller remembers it; what it does not know is an
    error, unless --ignore-not-found is given.
    """
    from directpv_cli.commands.changing import remove as command
    from directpv_cli.commands.changing import remove_lost
    from directpv_cli.reading.selection import drive_ids, drive_selection, only_ids, the_node
    from directpv_cli.reading.words import states
    from directpv_common.protocol.messages import Wipe

    how_lost = remove_lost.Flags(dangerous=dangerous, dry_run=dry_run, output=output, ignore_not_found=ignore_not_found)
    selectors = (nodes, drives, status, all_drives, wipe != "none")
    if ids and ids[0] == "node":
        name = checked(lambda: the_node(ids[1:], *selectors, lost))
        return remove_lost.node(name, how_lost)
    if lost:
        checked(lambda: only_ids("--lost", *selectors))
        return remove_lost.lost(checked(lambda: drive_ids(ids)), how_lost)
    selection = checked(lambda: drive_selection(nodes, drives, status, None, ids, everything=all_drives, required=True))
    (how,) = checked(lambda: states((wipe.replace(",", " "),), Wipe, "--wipe"))
    flags = command.Flags(
        how, dry_run=dry_run, within=timeout if wait else 0.0, output=output, ignore_not_found=ignore_not_found
    )
    return command.remove(selection, flags)
