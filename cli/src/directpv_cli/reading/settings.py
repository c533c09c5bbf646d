"""The flags that every verb has, as they were read; set once, before the verb runs."""

from dataclasses import dataclass


@dataclass
class Settings:
    """Global flags."""

    nats_url: str = ""
    """Empty: see :mod:`directpv_cli.reaching.way`."""
    kubeconfig: str = ""
    prefix: str = "directpv.v1"
    quiet: bool = False


settings = Settings()
