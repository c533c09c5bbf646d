"""Becomes nats-server, of a cluster's hub or of one node, with what shows who it is, which no ConfigMap has."""

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from directpv_common.access.certificates import LOCAL, Authority
from directpv_common.access.installation import certificates_of, read_keys
from directpv_common.access.nkey import kept_key
from directpv_common.access.rendering import Files, authority_tag, hub_settings, leaf_settings, listeners
from directpv_common.bus.former_servers import found_at_start, others_of, run_until_gone
from directpv_common.bus.trust import read_trust
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
    server_names: tuple[str, ...] = option(
        (), "of a hub: names and addresses by which it is reached, for its certificate"
    )
    servers: tuple[str, ...] = option((), "of a hub: host:port of all its servers, for clients")
    leaf_listen: str = option("0.0.0.0:7443", "of a hub: address and port for leafs that come by TLS")
    bus_ca: str = option("", "of a leaf: file with the certificates of the hub's authority; empty: no TLS")
    bus_key: str = option("", "of a leaf: file with the key of its node, made if it is missing")
    run_dir: str = option("/run/nats", "folder for the configuration that it has in the end, keys included")
    monitor_port: int = option(8222, "of a leaf: port of loopback on which it tells of itself")
    subject_prefix: str = option(DEFAULT_PREFIX, "subject prefix of the installation")


def settings(config: Config, *, encrypted: bool = True) -> str:
    """Return the configuration with what shows who the server is; just as it is if nothing is to be shown.

    Args:
        config: Of the server.
        encrypted: Whether servers of the hub have TLS between each other.

    Raises:
        InvalidRequest: The secret cannot be read, or is none.
        OSError: A file cannot be read or written.
    """
    text = Path(config.config).read_text()
    if config.mode == "leaf":
        trust = read_trust(config.bus_ca)
        tag = authority_tag(trust.authority) if trust is not None else ""
        key = kept_key(Path(config.bus_key)) if config.bus_key else None
        return leaf_settings(text, key, config.monitor_port, config.bus_ca, tag) if key is not None else text
    every = read_keys(config.bus_secret)
    if not every:
        return text
    keys, *also = every
    # Servers tell each other their addresses, and expect the name of any of them there (NATS 2.15).
    hosts = (server.rpartition(":")[0] for server in config.servers)
    files = issued(keys.authority, certificates_of(every), (*config.server_names, *hosts), Path(config.run_dir))
    routes = files.mutual() if encrypted else ""
    subjects = Subjects(config.subject_prefix)
    return hub_settings(text, keys, subjects, routes, also) + listeners(files, config.leaf_listen)


def issued(authority: Authority, trusted: str, names: Iterable[str], folder: Path) -> Files:
    """Make a certificate for this process, and write what a server needs for TLS where nobody else reads it.

    Args:
        authority: Issues it.
        trusted: Certificates by which other servers are known.
        names: By which the server is reached.
        folder: For the files.
    """
    made = authority.issue(dict.fromkeys((*names, *LOCAL)))
    texts = {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": trusted}
    return Files(*(str(written(text, folder, name)) for name, text in texts.items()))


def written(text: str, folder: Path, name: str = "nats.conf") -> Path:
    """Write a file where nobody else reads it, and return its path."""
    path = folder / name
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    return path


def command(config: Config, path: Path) -> list[str]:
    """Return the command line of nats-server: the one beside our own Python, or of the PATH."""
    beside = Path(sys.executable).with_name(PROGRAM)
    program = str(beside) if beside.exists() else shutil.which(PROGRAM) or PROGRAM
    return [program, f"--config={path}", f"--name={config.name}"]


def main() -> None:
    """Console script ``directpv-nats``."""
    config = load(Config, sys.argv[1:], os.environ, prog="directpv-nats")
    path = Path(config.config)
    try:
        if config.bus_secret:
            _wait_for_the_former(config)
        if config.bus_secret or config.bus_key:
            path = written(settings(config), Path(config.run_dir))
    except (DirectPVError, OSError) as error:
        sys.exit(f"directpv-nats: {error}")
    argv = command(config, path)
    os.execv(argv[0], [PROGRAM, *argv[1:]])  # noqa: S606 - becomes it


def _wait_for_the_former(config: Config) -> None:
    """Be a server without TLS between servers for as long as there is one of the version before."""
    others = others_of(config.servers, config.server_names)
    if not found_at_start(others):
        return
    path = written(settings(config, encrypted=False), Path(config.run_dir))
    status = run_until_gone(command(config, path), others)
    if status is not None:
        sys.exit(status)


if __name__ == "__main__":
    main()
