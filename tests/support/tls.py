"""Certificates for real servers of NATS, made for one test."""

import datetime
import os
from pathlib import Path

from directpv_common.access.certificates import BEGINS, ENDS, LOCAL, Authority, Issued
from directpv_common.access.rendering import Files, listeners
from support.ports import free_port


def new_authority() -> Authority:
    return Authority(os.urandom(32))


def files(
    folder: Path,
    authority: Authority,
    names: tuple[str, ...] = LOCAL,
    begins: datetime.datetime = BEGINS,
    ends: datetime.datetime = ENDS,
) -> Files:
    """Write a certificate for a server."""
    return _written(folder, authority, authority.issue(names, begins, ends))


def _written(folder: Path, authority: Authority, made: Issued) -> Files:
    folder.mkdir(exist_ok=True)
    texts = {"tls.crt": made.certificate, "tls.key": made.key, "ca.crt": authority.certificate}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Files(*(str(folder / name) for name in texts))


class Secured:
    """What a server's settings need, and where leafs find it then."""

    def __init__(self, made: Files) -> None:
        port = free_port()
        self.settings = listeners(made, f"127.0.0.1:{port}")
        self.port, self.authority = port, made.authority
        self.leaf_url = f"wss://127.0.0.1:{port}"
