"""``locate``: lights of bays."""

from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import DriveIdsNeeded, DryRun, LightsOut, Output


def locate(ids: DriveIdsNeeded = None, off: LightsOut = False, dry_run: DryRun = False, output: Output = "") -> None:
    """Light the bays that drives are in, so that somebody at the server finds their disks; with --off, put them out.

    A light stays as it is until somebody switches it, also when the disk is pulled. With --dry-run it is said which
    bay it is, and how its light is.

    That takes hardware: an enclosure that speaks SES (the node's kernel module ses shows it), or bays of NVMe disks
    with NPEM (Linux 6.13). Where there is none this says so, with the disk's serial number if it is known.
    """
    from directpv_cli.commands.changing import locate as command
    from directpv_cli.reading.selection import drive_ids

    command.locate(checked(lambda: drive_ids(ids)), None if dry_run else not off, output=output)
