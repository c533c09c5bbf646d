"""Certificates of a test cluster, made by openssl when they are needed."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

_DAYS: Final = "2"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Pki:
    """One authority for everything in a cluster, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / "openssl.cnf"
        self._config.write_text("[req]\ndistinguished_name = name\n[name]\n")

    @cached_property
    def authority(self) -> Pair:
        """The authority's own pair."""
        return self._make(
            "ca", "/CN=directpv-test", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
        )

    @cached_property
    def accounts(self) -> Pair:
        """Signs the tokens of service accounts."""
        return self._make("accounts", "/CN=service-accounts", [])

    def client(self, name: str, group: str = "") -> Pair:
        """Return a pair for a user of the API server."""
        subject = f"/CN={name}" + (f"/O={group}" if group else "")
        return self._make(name.replace(":", "-"), subject, ["extendedKeyUsage=clientAuth"], signed=True)

    def server(self, name: str, addresses: Iterable[str], names: Iterable[str] = ()) -> Pair:
        """Return a pair for a server that is reached by these addresses and names."""
        known = ",".join([*(f"IP:{address}" for address in addresses), *(f"DNS:{each}" for each in names)])
        extensions = ["extendedKeyUsage=serverAuth", f"subjectAltName={known}"]
        return self._make(f"{name}-server", f"/CN={name}", extensions, signed=True)

    def _make(self, file: str, subject: str, extensions: list[str], *, signed: bool = False) -> Pair:
        pair = Pair(self.directory / f"{file}.crt", self.directory / f"{file}.key")
        if not pair.certificate.exists():
            further: list[str | Path] = (
                ["-CA", self.authority.certificate, "-CAkey", self.authority.key] if signed else []
            )
            further += [word for extension in extensions for word in ("-addext", extension)]
            command: list[str | Path] = [
                "openssl", "req", "-config", self._config, "-x509",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
                "-days", _DAYS, "-subj", subject, *further, "-keyout", pair.key, "-out", pair.certificate,
            ]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        return pair
