"""Files by which programs find an API server and say who they are."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.kube.pki import Pair


@dataclass(frozen=True)
class Endpoint:
    """How an API server is reached, and by what it is known."""

    url: str
    authority: Path

    def config(self, user: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a kubeconfig for ``user``, who is described as in the field of that name."""
        cluster = {"server": self.url, "certificate-authority-data": _data(self.authority)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }

    def write(self, path: Path, pair: Pair) -> Path:
        """Write a kubeconfig for the owner of a certificate."""
        return self._write(
            path, {"client-certificate-data": _data(pair.certificate), "client-key-data": _data(pair.key)}
        )

    def write_token(self, path: Path, token: str) -> Path:
        """Write a kubeconfig for the bearer of a token."""
        return self._write(path, {"token": token})

    def _write(self, path: Path, user: dict[str, Any]) -> Path:
        path.write_text(yaml.safe_dump(self.config(user)))
        path.chmod(0o600)
        return path


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
