"""The reference of every service's settings: what the service says of itself with ``--help``, as a table."""

import os
import re
import socket
import subprocess
import sys
from typing import Final

SERVICES: Final = ("directpv_controller", "directpv_nodeagent", "directpv_csi_gateway")
_HEAD: Final = """# Settings

Each service takes its settings as flags, or as environment variables; a flag wins. Lists are separated by commas.
`kubectl directpv install` and the Helm chart set what a cluster needs.
"""
_OPTION: Final = re.compile(
    r"^ +(--[\w-]+)(?:, --[\w-]+)?(?: VALUE)?\s+(\S.*) \[(DIRECTPV_\w+), default: (.*)\]$", re.MULTILINE
)
_SECONDS: Final = 60


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *map(_section, SERVICES)])


def _section(service: str) -> str:
    rows = [
        f"| `{flag}` | `{variable}` | {_default(default)} | {text.replace('|', chr(92) + '|')} |"
        for flag, text, variable, default in _OPTION.findall(_said(service))
    ]
    head = f"## {service.replace('_', '-')}\n\n| flag | variable | default | what it is |\n|---|---|---|---|"
    return "\n".join([head, *rows, ""])


def _default(text: str) -> str:
    if text == socket.gethostname():
        return "the host's name"
    return f"`{text}`" if text else "-"


def _said(service: str) -> str:
    """Return its help, each option on one line."""
    environment = {**os.environ, "COLUMNS": "100000"}
    command = (sys.executable, "-m", service, "--help")
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
