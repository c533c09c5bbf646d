"""kubectl's command line, with the cluster that people named."""

from directpv_cli.reading.settings import settings


def kubectl(kubeconfig: str, *words: str) -> list[str]:
    """Return it; an empty ``kubeconfig`` or ``--context``: kubectl finds its own."""
    chosen = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    chosen += [f"--context={settings.context}"] if settings.context else []
    return ["kubectl", *chosen, *words]
