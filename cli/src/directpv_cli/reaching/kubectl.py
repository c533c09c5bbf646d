"""kubectl's command line, with the cluster that people named."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from directpv_cli.reading.settings import settings
from directpv_common.protocol.errors import FailedPrecondition

IN_POD: Final = "KUBERNETES_SERVICE_HOST"
"""Set in each pod of a cluster; kubectl finds the cluster by it."""


def kubectl(kubeconfig: str, *words: str) -> list[str]:
    """Return it; an empty ``kubeconfig`` or ``--context``: kubectl finds its own."""
    chosen = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    chosen += [f"--context={settings.context}"] if settings.context else []
    return ["kubectl", *chosen, *words]


def require_cluster(
    what: str, environment: Mapping[str, str] = os.environ, exists: Callable[[str], bool] = os.path.exists
) -> None:
    """Raise if kubectl would find no cluster: it would look for one on this machine, and say so in many lines.

    Args:
        what: What is asked of a cluster, and what helps where there is none.
        environment: HOME, KUBECONFIG and what pods have are looked at.
        exists: Tells whether there is a file.

    Raises:
        FailedPrecondition: No kubeconfig leads to a cluster.
    """
    files = environment.get("KUBECONFIG", "") or os.path.join(environment.get("HOME", ""), ".kube", "config")
    if settings.kubeconfig or settings.context or environment.get(IN_POD) or any(map(exists, files.split(os.pathsep))):
        return
    raise FailedPrecondition(f"no kubeconfig leads to a cluster: {what}; give --kubeconfig if there is one")
