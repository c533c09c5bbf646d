"""``repair``: checks and repairs the file systems of drives."""

from directpv_cli.reading.words import DAY
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import DriveIdsNeeded, DropLog, NoPrefetch, OnlyLook, OutcomeTimeout, Wait


def repair(
    ids: DriveIdsNeeded = None,
    force: DropLog = False,
    disable_prefetch: NoPrefetch = False,
    dry_run: OnlyLook = False,
    wait: Wait = True,
    timeout: OutcomeTimeout = DAY,
) -> None:
    """Check and repair the file systems of drives that nothing uses; each is unmounted for that and mounted again.

    A drive with staged or published volumes, or with open files, is refused: cordon it and delete the pods first.
    Its state is Repairing meanwhile, and Ready or Error afterwards, whatever came of it. Unlike upstream's, which
    starts a Job and exits with 0, this waits; the exit status is 0 only if every drive was well or is repaired and
    Ready (with --dry-run: if no damage was found; with --no-wait: if every repair has begun). A repeat joins a
    running repair.
    """
    from directpv_cli.commands.changing import repair as command
    from directpv_cli.reading.selection import drive_ids

    flags = command.Flags(force=force, disable_prefetch=disable_prefetch, dry_run=dry_run)
    command.repair(checked(lambda: drive_ids(ids)), flags, within=timeout if wait else 0.0)
