"""The flags that every verb has, as they were read; set once, before the verb runs."""

from dataclasses import dataclass


@dataclass
class Settings:
    """Global flags."""

    nats_url: str = ""
    """Empty: see :mod:`directpv_cli.reaching.way`."""
    nats_nkey: str = ""
    """File with the seed of a key; empty: that of the local stack at the URL, if there is one."""
    kubeconfig: str = ""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    prefix: str = "directpv.v1"
    quiet: bool = False
    plain: bool = False
    """Tables without frames, and no colours, on terminals too."""


settings = Settings()
