"""``recover``: puts back what drives remember and the cluster has lost, or has elsewhere."""

from directpv_cli.reading.words import TWO_MINUTES
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.flags import (
    ClaimsOfVolumes,
    ClassOfVolumes,
    DiskIsOut,
    DryRun,
    Output,
    RecoverTimeout,
    Targets,
)


def recover(
    targets: Targets = None,
    dry_run: DryRun = False,
    dangerous: DiskIsOut = False,
    claims: ClaimsOfVolumes = None,
    storage_class: ClassOfVolumes = "",
    timeout: RecoverTimeout = TWO_MINUTES,
    output: Output = "",
) -> None:
    """Bring back what drives remember: after the loss of a cluster's etcd, or when disks were put into another server.

    Drives on the nodes that are named (none: on all) which say that they are another node's become that node's, with
    their volumes. In Kubernetes, PersistentVolumes and claims that are missing are made as they were, bound to each
    other; PersistentVolumes of drives that have moved are made anew, unless a pod uses them. Nothing that exists is
    overwritten, no data is touched, and repeating is harmless. Begin with --dry-run. The exit status is 0 only if
    there is no conflict.
    """
    from directpv_cli.commands.changing import recover as command
    from directpv_cli.reading.recovery import claims_of_volumes
    from directpv_cli.reading.words import expanded
    from directpv_cli.recovering.core.objects import Wishes

    wishes = checked(lambda: Wishes(claims_of_volumes(claims), storage_class))
    words = checked(lambda: expanded(targets))
    command.recover(words, command.How(dry_run, dangerous, timeout, output, wishes))
