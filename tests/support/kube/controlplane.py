"""The control plane of a test cluster: API server, controller manager, scheduler and name service, beside the tests."""

import contextlib
import ssl
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import yaml

from support.guest import network
from support.kube import programs
from support.kube.apiserver import SERVICES, ApiServer
from support.kube.process import Program

PODS: Final = "10.244.0.0/16"
DOMAIN: Final = "cluster.local"
READY_SECONDS: Final = 60.0
_MANAGER_PORT: Final = 10257
_SCHEDULER_PORT: Final = 10259
_NAMES_PORT: Final = 8181
_UNCHECKED: Final = ssl.create_default_context()
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE
"""For health checks of programs that make themselves a certificate when they start."""


class ControlPlane:
    """Lives in the network namespace of the tests, at the address that guests see of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = programs.kubernetes()
        self.api = ApiServer(directory, host=network.HOST, port=6443)
        self.manager = self._program("kube-controller-manager", self._manager_options())
        self.scheduler = self._program("kube-scheduler", self._scheduler_options())
        self.names = Program("coredns", self._names_command(), directory / "coredns.log")

    def _program(self, name: str, options: dict[str, object]) -> Program:
        config = self._config(f"system:{name}")
        flags = {"kubeconfig": config, "bind-address": "127.0.0.1", "authentication-skip-lookup": "true", **options}
        command: list[str | Path] = [self.programs / name, *(f"--{option}={value}" for option, value in flags.items())]
        return Program(name, command, self.directory / f"{name}.log")

    def _manager_options(self) -> dict[str, object]:
        return {
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self.api.pki.accounts.key,
            "root-ca-file": self.api.pki.authority.certificate,
            "cluster-cidr": PODS,
            "service-cluster-ip-range": SERVICES,
            "controllers": "*,-nodeipam",
            "node-monitor-period": "2s",
            "node-monitor-grace-period": "20s",
            "pvclaimbinder-sync-period": "5s",
            "kube-api-qps": "200",
            "kube-api-burst": "400",
        }

    def _scheduler_options(self) -> dict[str, object]:
        """Let pods that wait for room be looked at again soon."""
        settings = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self._config("system:kube-scheduler"))},
            "leaderElection": {"leaderElect": False},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 2,
        }
        path = self.directory / "scheduler.yaml"
        path.write_text(yaml.safe_dump(settings))
        return {"config": path}

    def _names_command(self) -> list[str | Path]:
        config = self._config("system:coredns", "system:masters")
        path = self.directory / "Corefile"
        path.write_text(
            f".:53 {{\n  bind {network.HOST}\n  errors\n  ready :{_NAMES_PORT}\n"
            f"  kubernetes {DOMAIN} in-addr.arpa {{\n    kubeconfig {config}\n    ttl 1\n  }}\n}}\n"
        )
        return [self.programs / "coredns", "-conf", path]

    def _config(self, user: str, group: str = "") -> Path:
        pair = self.api.pki.client(user, group)
        return self.api.endpoint.write(self.directory / f"{user.removeprefix('system:')}.yaml", pair)

    def start(self) -> None:
        """Start everything, and wait until it is ready."""
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.api.start()
        health = {
            self.manager: f"https://127.0.0.1:{_MANAGER_PORT}/healthz",
            self.scheduler: f"https://127.0.0.1:{_SCHEDULER_PORT}/healthz",
            self.names: f"http://127.0.0.1:{_NAMES_PORT}/ready",
        }
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda each: each[0].start(lambda: _answers(each[1]), READY_SECONDS), health.items()))

    def close(self) -> None:
        """End everything."""
        for program in (self.names, self.scheduler, self.manager):
            program.kill()
        self.api.close()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2, context=_UNCHECKED) as reply:
        return bool(reply.status == 200)
    return False
