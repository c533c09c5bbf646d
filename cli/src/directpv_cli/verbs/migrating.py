"""``migrate``: what DirectCSI has left."""

from directpv_cli.verbs.flags import DryRun, Output, Retain


def migrate(dry_run: DryRun = False, retain: Retain = False, output: Output = "") -> None:
    """Say what is left in a cluster of DirectCSI, which is DirectPV up to v3, and what is in the way of each.

    This version takes over drives and volumes of v4, also those that v4 has migrated, and reads none of DirectCSI
    itself: v4.1.6 has to migrate these first. Nothing is changed, with --dry-run or without, and nothing deleted, with
    --retain or without. The exit status is 0 only if nothing is in the way.
    """
    del dry_run, retain
    from directpv_cli.commands.looking import migrate as command

    command.migrate(output)
