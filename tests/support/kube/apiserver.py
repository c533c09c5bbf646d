"""A real kube-apiserver over a real etcd: RBAC and Node authorization, certificates and tokens, and no nodes."""

import contextlib
import json
import ssl
import urllib.request
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from support.kube import programs
from support.kube.api import Api, KubectlError
from support.kube.commands import request_of
from support.kube.etcd import Etcd
from support.kube.kinds import BY_WORD, own_place
from support.kube.kubeconfig import Endpoint
from support.kube.pki import Pair, Pki
from support.kube.process import Program
from support.kube.rest import APPLY, MERGE, Refused, Rest
from support.ports import free_port

READY_SECONDS: Final = 120.0
SERVICES: Final = "10.96.0.0/16"
"""Addresses of services."""
SERVICE: Final = "10.96.0.1"
"""The first of them is the API server's own."""
NOT_FOUND: Final = 404
NAMES: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


class ApiServer(Api):
    """Can be killed and started again on the same port, with everything that it has stored.

    Use :attr:`admin` (a kubeconfig file) with any client, or :meth:`kubectl`.
    """

    def __init__(self, directory: Path, host: str = "127.0.0.1", port: int = 0, *, durable: bool = False) -> None:
        """Describe a server that is not started yet.

        Args:
            directory: For everything that it writes.
            host: Address by which it is reached.
            port: 0 takes a free one.
            durable: Have what etcd acknowledged on the disk.
        """
        super().__init__(programs.kubernetes("etcd", "kube-apiserver", "kubectl"))
        self.directory = directory
        self.port = port or free_port()
        self.pki = Pki(directory / "pki")
        self.endpoint = Endpoint(f"https://{host}:{self.port}", self.pki.authority.certificate)
        self.etcd = Etcd(directory, self.programs / "etcd", durable=durable)
        self.process = Program("kube-apiserver", self._command(host), directory / "kube-apiserver.log")

    def _command(self, host: str) -> list[str | Path]:
        own = self.pki.server("kube-apiserver", {host, "127.0.0.1", SERVICE}, NAMES)
        to_kubelets = self.pki.client("kube-apiserver-kubelet-client", "system:masters")
        loopback = host == "127.0.0.1"
        options: dict[str, object] = {
            "etcd-servers": self.etcd.url,
            "bind-address": host if loopback else "0.0.0.0",
            "secure-port": self.port,
            "cert-dir": self.directory,
            "tls-cert-file": own.certificate,
            "tls-private-key-file": own.key,
            "client-ca-file": self.pki.authority.certificate,
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-client-certificate": to_kubelets.certificate,
            "kubelet-client-key": to_kubelets.key,
            "kubelet-certificate-authority": self.pki.authority.certificate,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self.pki.accounts.certificate,
            "service-account-signing-key-file": self.pki.accounts.key,
            "service-cluster-ip-range": SERVICES,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "feature-gates": "CSIVolumeHealth=true",
            **({"endpoint-reconciler-type": "none"} if loopback else {"advertise-address": host}),
        }
        return [self.programs / "kube-apiserver", *(f"--{name}={value}" for name, value in options.items())]

    # ---- running ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start etcd and the server, and wait until it is ready."""
        self.etcd.start()
        self.start_server()

    def start_server(self) -> None:
        """Start the server alone, and wait until it is ready."""
        self.process.start(self._ready, READY_SECONDS)

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/readyz") == b"ok"
        return False

    def close(self) -> None:
        """End both."""
        self.rest.close()
        self.process.kill()
        self.etcd.kill()

    # ---- use ----------------------------------------------------------------------------------------------------

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        trust = ssl.create_default_context(cafile=str(self.pki.authority.certificate))
        pair = self._administrator
        trust.load_cert_chain(pair.certificate, pair.key)
        return trust

    @cached_property
    def _administrator(self) -> Pair:
        return self.pki.client("admin", "system:masters")

    @cached_property
    def admin(self) -> Path:
        """Kubeconfig of one who may do everything."""
        return self.endpoint.write(self.directory / "admin.yaml", self._administrator)

    def get(self, path: str) -> bytes:
        """Return what the server answers to a GET of the administrator."""
        with urllib.request.urlopen(f"{self.endpoint.url}{path}", timeout=5, context=self._trust) as reply:
            return bytes(reply.read())

    @cached_property
    def rest(self) -> Rest:
        """Asks as the administrator, without a process for each request."""
        return Rest(self.endpoint.url, lambda: self._trust)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of ``kubectl get`` with these arguments, without a kubectl where that is possible."""
        with _as_kubectl():
            found = self.rest.items(*arguments)
        return super().objects(*arguments) if found is None else found

    def kubectl(self, *arguments: str, **more: Any) -> str:
        """Do what kubectl would do as the administrator; what is one request is sent without a kubectl.

        Then what it returns is the object in JSON, also where kubectl would say a word only.
        """
        request = None if "config" in more else request_of(arguments, more.get("input", ""))
        if request is None:
            return super().kubectl(*arguments, **more)
        with _as_kubectl():
            return json.dumps(self.rest.send(*request))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects as ``kubectl apply --server-side`` does, without a kubectl where that is possible."""
        places = [own_place(manifest) for manifest in manifests]
        if None in places:
            super().apply(*manifests)
            return
        how = urlencode({"fieldManager": "kubectl", "force": "true", "fieldValidation": "Strict"})
        for place, manifest in zip(places, manifests, strict=True):
            assert place is not None
            about = manifest["metadata"]
            with _as_kubectl():
                path = place.path(about.get("namespace", "default"), about["name"])
                self.rest.send("PATCH", f"{path}?{how}", manifest, APPLY)

    def change(
        self, word: str, name: str, change: dict[str, Any], namespace: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Merge a change into an object, called what kubectl would call it; return the object."""
        path = "/".join(filter(None, (BY_WORD[word].path(namespace, name), subresource)))
        with _as_kubectl():
            return self.rest.send("PATCH", path, change, MERGE)

    def delete(self, word: str, name: str, namespace: str = "", *, missing_ok: bool = False) -> None:
        """Delete an object at once, unless a finalizer keeps it for now."""
        with _as_kubectl():
            try:
                self.rest.send("DELETE", BY_WORD[word].path(namespace, name), {"gracePeriodSeconds": 0})
            except Refused as error:
                if not (missing_ok and error.status == NOT_FOUND):
                    raise

    def token(self, namespace: str, name: str, *, seconds: int = 7200, audience: str = "", pod: str = "") -> str:
        """Return a token of a service account that exists, bound to a pod if one is named."""
        spec: dict[str, Any] = {"expirationSeconds": seconds, "audiences": [audience] if audience else []}
        if pod:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        with _as_kubectl():
            path = BY_WORD["serviceaccounts"].path(namespace, name)
            return str(self.rest.send("POST", f"{path}/token", asked)["status"]["token"])

    def account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig of a service account that exists."""
        token = self.token(namespace, name)
        return self.endpoint.write_token(self.directory / f"{namespace}-{name}.yaml", token)


@contextlib.contextmanager
def _as_kubectl() -> Iterator[None]:
    """Raise what kubectl would have ended with."""
    try:
        yield
    except (Refused, OSError) as error:
        raise KubectlError(str(error)) from error
