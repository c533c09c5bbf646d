"""What binds claims to volumes, and protects both: a real kube-controller-manager, and nothing else of it."""

import contextlib
import ssl
import urllib.request
from collections.abc import Iterator
from typing import Final

from support.kube import programs
from support.kube.apiserver import ApiServer
from support.kube.process import Program
from support.ports import free_port

READY_SECONDS: Final = 60.0
CONTROLLERS: Final = (
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
)
_UNCHECKED: Final = ssl.create_default_context()
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE


@contextlib.contextmanager
def binder(server: ApiServer) -> Iterator[Program]:
    """Have claims bound in the block."""
    port = free_port()
    pair = server.pki.client("system:kube-controller-manager", "system:masters")
    flags = {
        "kubeconfig": server.endpoint.write(server.directory / "binder.yaml", pair),
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "authentication-skip-lookup": "true",
        "leader-elect": "false",
        "controllers": ",".join(CONTROLLERS),
        "pvclaimbinder-sync-period": "1s",
    }
    folder = programs.kubernetes("kube-controller-manager")
    command = [folder / "kube-controller-manager", *(f"--{name}={value}" for name, value in flags.items())]
    program = Program("kube-controller-manager", command, server.directory / "binder.log")

    def ready() -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", timeout=2, context=_UNCHECKED) as reply,
        ):
            return bool(reply.status == 200)
        return False

    program.start(ready, READY_SECONDS)
    try:
        yield program
    finally:
        program.kill()
