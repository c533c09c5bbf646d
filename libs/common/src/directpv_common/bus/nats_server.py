"""Becomes nats-server, of a cluster's hub or of one node, with what shows who it is, which no ConfigMap has."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from directpv_common.access.installation import read_keys
from directpv_common.access.nkey import kept_key
from directpv_common.access.rendering import hub_settings, leaf_settings
from directpv_common.process.config import load, option
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.subjects import DEFAULT_PREFIX, Subjects

PROGRAM: Final = "nats-server"


@dataclass(frozen=True)
class Config:
    """Runs nats-server in a cluster of Kubernetes."""

    mode: Literal["hub", "leaf"] = option("hub", "hub: one of the cluster's servers; leaf: a node's own")
    config: str = option("/etc/nats/nats.conf", "file with the configuration of nats-server")
    name: str = option("", "name of the server; a leaf's is that of its node")
    bus_secret: str = option("", "of a hub: file with the secret of the installation's bus")
    bus_key: str = option("", "of a leaf: file with the key of its node, made if it is missing")
    run_dir: str = option("/run/nats", "folder for the configuration that it has in the end, keys included")
    monitor_port: int = option(8222, "of a leaf: port of loopback on which it tells of itself")
    subject_prefix: str = option(DEFAULT_PREFIX, "subject prefix of the installation")


def settings(config: Config) -> str:
    """Return the configuration with what shows who the server is; just as it is if nothing is to be shown.

    Raises:
        InvalidRequest: The secret cannot be read, or is none.
        OSError: A file cannot be read or written.
    """
    text = Path(config.config).read_text()
    if config.mode == "leaf":
        return leaf_settings(text, kept_key(Path(config.bus_key)), config.monitor_port) if config.bus_key else text
    keys = read_keys(config.bus_secret)
    return hub_settings(text, keys, Subjects(config.subject_prefix)) if keys is not None else text


def written(text: str, folder: Path) -> Path:
    """Write the configuration where nobody else reads it, and return its path."""
    path = folder / "nats.conf"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    return path


def main() -> None:
    """Console script ``directpv-nats``."""
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-nats")
    path = Path(config.config)
    try:
        if config.bus_secret or config.bus_key:
            path = written(settings(config), Path(config.run_dir))
    except (DirectPVError, OSError) as error:
        sys.exit(f"directpv-nats: {error}")
    beside = Path(sys.executable).with_name(PROGRAM)
    program = str(beside) if beside.exists() else shutil.which(PROGRAM) or PROGRAM
    os.execv(program, [PROGRAM, f"--config={path}", f"--name={config.name}"])  # noqa: S606 - becomes it


if __name__ == "__main__":
    main()
