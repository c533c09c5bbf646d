"""A real kube-apiserver over a real etcd: RBAC and Node authorization, certificates and tokens, and no nodes."""

import contextlib
import ssl
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from support.kube import programs
from support.kube.api import Api, KubectlError
from support.kube.etcd import Etcd
from support.kube.kubeconfig import Endpoint
from support.kube.pki import Pair, Pki
from support.kube.process import Program
from support.kube.rest import Reader, Refused
from support.ports import free_port

READY_SECONDS: Final = 120.0
SERVICES: Final = "10.96.0.0/16"
"""Addresses of services."""
SERVICE: Final = "10.96.0.1"
"""The first of them is the API server's own."""
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
        self._reader.close()
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
    def _reader(self) -> Reader:
        return Reader(self.endpoint.url, lambda: self._trust)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of ``kubectl get`` with these arguments, without a kubectl where that is possible."""
        try:
            found = self._reader.items(*arguments)
        except (Refused, OSError) as error:
            raise KubectlError(str(error)) from error
        return super().objects(*arguments) if found is None else found

    def account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig of a service account that exists."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=2h").strip()
        return self.endpoint.write_token(self.directory / f"{namespace}-{name}.yaml", token)
