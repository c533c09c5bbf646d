"""Where the API server is and who we are there: the pod's service account, or a kubeconfig file.

Source: Kubernetes, "Accessing the API from a Pod", "Organizing Cluster Access Using kubeconfig Files" and the
client.authentication.k8s.io/v1 ExecCredential.
"""

import asyncio
import base64
import functools
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from directpv_common.process.command import output_of
from directpv_common.protocol.errors import DirectPVError, InvalidRequest, Unavailable

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS: Final = 60.0
"""A token that is kept in a file is replaced there before it expires."""
EXEC_SECONDS: Final = 30.0
EXEC_VERSION: Final = "client.authentication.k8s.io/v1"

Token = Callable[[bool], Awaitable[str]]
"""Returns a token; called with True after the last one was refused."""


@dataclass(frozen=True)
class Access:
    """How to reach an API server. The token is empty where the certificate says who we are."""

    url: str
    tls: ssl.SSLContext
    token: Token


class _FileToken:
    """A token that somebody else renews in its file."""

    def __init__(self, path: Path) -> None:
        self._path, self._text, self._read = path, "", -TOKEN_SECONDS

    async def __call__(self, refused: bool) -> str:
        if refused or time.monotonic() - self._read >= TOKEN_SECONDS:
            try:
                self._text = (await asyncio.to_thread(self._path.read_text)).strip()
            except OSError as error:
                raise Unavailable(f"token {self._path}: {error.strerror}") from error
            self._read = time.monotonic()
        return self._text


class _ExecToken:
    """A token that a program prints."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._argv = [settings["command"], *(settings.get("args") or ())]
        self._version = settings.get("apiVersion") or EXEC_VERSION
        self._env = {each["name"]: each["value"] for each in settings.get("env") or ()}
        self._text, self._until = "", 0.0
        self._asking = asyncio.Lock()

    async def __call__(self, refused: bool) -> str:
        async with self._asking:
            if refused or time.time() >= self._until:
                self._text, self._until = await self._ask()
        return self._text

    async def _ask(self) -> tuple[str, float]:
        asked = {"apiVersion": self._version, "kind": "ExecCredential", "spec": {"interactive": False}}
        env = {**self._env, "KUBERNETES_EXEC_INFO": orjson.dumps(asked).decode()}
        settings = [f"{name}={value}" for name, value in env.items()]
        try:
            said = await output_of("env", *settings, *self._argv, within=EXEC_SECONDS)
            status = orjson.loads(said)["status"]
            until = datetime.fromisoformat(status["expirationTimestamp"]).timestamp() - TOKEN_SECONDS
            return str(status["token"]), until
        except (DirectPVError, OSError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"credential program {self._argv[0]} gave no token: {error}") from error


async def _static(token: str, refused: bool) -> str:
    return token


def in_cluster() -> Access:
    """Return the access of the pod's service account.

    Raises:
        InvalidRequest: This process does not run in a pod, or its account is not mounted.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise InvalidRequest(
            "KUBERNETES_SERVICE_HOST is not set: outside of a pod, name a file with --kubeconfig", field="kubeconfig"
        )
    name = f"[{host}]" if ":" in host else host
    try:
        tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    except OSError as error:
        raise InvalidRequest(f"{ACCOUNT / 'ca.crt'}: {error.strerror}; mount the pod's service account") from error
    return Access(f"https://{name}:{port}", tls, _FileToken(ACCOUNT / "token"))


def from_kubeconfig(path: Path) -> Access:
    """Return the access that the current context of a kubeconfig file gives.

    Raises:
        InvalidRequest: The file cannot be read or understood; says why.
    """
    try:
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"] if context.get("user") else {}
        return Access(cluster["server"].rstrip("/"), _tls(cluster, user, path.parent), _token(user, path.parent))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidRequest(f"kubeconfig {path}: {why}", field="kubeconfig") from error


def access_of(kubeconfig: str) -> Access:
    """Return the access that a kubeconfig file gives, or, if none is named, the pod's account; raises as these."""
    return from_kubeconfig(Path(kubeconfig)) if kubeconfig else in_cluster()


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in [*entries, {"name": name}] if entry["name"] == name)


def _tls(cluster: dict[str, Any], user: dict[str, Any], home: Path) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority", home)
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate", home), _content(user, "client-key", home)
    if certificate and key:
        with tempfile.NamedTemporaryFile() as file:  # OpenSSL reads them from files only
            file.write(certificate + b"\n" + key)
            file.flush()
            tls.load_cert_chain(file.name)
    return tls


def _content(entry: dict[str, Any], key: str, home: Path) -> bytes:
    """Return what ``key-data`` holds, or the file that ``key`` names."""
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    return (home / entry[key]).read_bytes() if entry.get(key) else b""


def _token(user: dict[str, Any], home: Path) -> Token:
    if user.get("tokenFile"):
        return _FileToken(home / user["tokenFile"])
    if user.get("exec"):
        return _ExecToken(user["exec"])
    if user.get("auth-provider") or user.get("username"):
        raise ValueError("auth-provider and passwords are not supported; use a token, a certificate or exec")
    return functools.partial(_static, user.get("token") or "")
