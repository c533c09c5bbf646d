"""An API server, as far as kubectl of an administrator reaches."""

import json
import subprocess
from pathlib import Path
from typing import Any


class KubectlError(AssertionError):
    """Kubectl ended with an error."""


class Api:
    """Objects of a cluster; :attr:`admin` is the kubeconfig of one who may do everything."""

    admin: Path

    def __init__(self, programs: Path) -> None:
        self.programs = programs

    def attempt(
        self, *arguments: str, input: str = "", within: float = 60.0, config: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl as the administrator, or as the owner of ``config``, whatever comes of it."""
        command: list[str | Path] = [self.programs / "kubectl", f"--kubeconfig={config or self.admin}", *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, timeout=within, check=False)

    def kubectl(self, *arguments: str, **more: Any) -> str:
        """Run kubectl as :meth:`attempt` does; return what it says, if all is well."""
        done = self.attempt(*arguments, **more)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of ``kubectl get`` with these arguments."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects as ``kubectl apply --server-side`` does."""
        text = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text, within=300.0)


class OwnApi(Api):
    """The API server of a cluster that somebody else runs."""

    def __init__(self, programs: Path, admin: Path) -> None:
        super().__init__(programs)
        self.admin = admin
