"""``rotate``: other keys and certificates of the bus."""

from directpv_cli.reading.settings import settings
from directpv_cli.reading.words import TEN_MINUTES
from directpv_cli.verbs.flags import Kubeconfig, Quiet, RotationTimeout


def rotate(timeout: RotationTimeout = TEN_MINUTES, kubeconfig: Kubeconfig = "", quiet: Quiet = False) -> None:
    """Replace the secret of a cluster's bus, and all keys and certificates that are made of it, without an outage.

    Pods are replaced as in an upgrade, in three steps: first what is made of the new secret is trusted as well, then it
    is used, then the former one is trusted no more. Nodes keep their own keys, and
    running pods their mounts. What was interrupted goes on when it is repeated.
    """
    from directpv_cli.commands import rotate as command

    settings.quiet = settings.quiet or quiet
    command.rotate(kubeconfig=kubeconfig or settings.kubeconfig, within=timeout)
