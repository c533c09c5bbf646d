"""All suites, and the steps that set up what they need. Figures: two cores of a virtual machine, everything built.

The order is that in which suites start as far as they find room. First what tells soonest that something is wrong, then
e2e, which takes longest: it begins as soon as its steps have ended, beside guests and crash, which begin before. Last
those of many small tests, which fill what is left until e2e ends.
"""

import sys
from dataclasses import dataclass
from typing import Final

Command = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """Brings what suites need; goes on in the background, one step after the other."""

    name: str
    does: str
    commands: tuple[Command, ...]
    seconds: int
    """How long it takes the first time."""


@dataclass(frozen=True)
class Suite:
    """One kind of test."""

    name: str
    proves: str
    commands: tuple[Command, ...]
    seconds: int
    """Wall clock of the last measurement, without tests that are ``long``."""
    long_seconds: int
    """The same with all tests."""
    cores: float
    """User and system time over wall clock: suites run side by side as long as the sum is within the machine's."""
    needs: tuple[str, ...] = ()
    behind: str = ""
    """The suite that takes longest, if this one has time until that has begun, and would be in its way before."""
    has_long: bool = True
    """Takes ``-m``."""


def _pytest(*arguments: str) -> tuple[Command, ...]:
    return ((sys.executable, "-m", "pytest", "-q", "-p", "suites.progress", *arguments),)


def _python(*arguments: str) -> Command:
    return (sys.executable, "-m", *arguments)


STEPS: Final = (
    Step(
        "guests",
        "install what guests need, fetch their kernel",
        (("scripts/setup-system", "guests"), ("scripts/fetch-guest-kernel",)),
        90,
    ),
    Step("csi-sanity", "build csi-sanity", (("scripts/build-csi-sanity",),), 60),
    Step("browser", "install chromium", (("scripts/setup-system", "browser"),), 40),
    Step(
        "apiserver",
        "build etcd, kube-apiserver, kubectl, kube-controller-manager",
        (("scripts/build-kubernetes", "etcd", "kube-apiserver", "kubectl", "kube-controller-manager"),),
        420,
    ),
    Step("tools", "build helm and krew", (("scripts/build-tool", "helm"), ("scripts/build-tool", "krew")), 90),
    Step(
        "cluster",
        "build the rest of Kubernetes, containerd, sidecars, images",
        (("scripts/setup-system", "cluster"), ("scripts/build-kubernetes",), ("scripts/build-images",)),
        400,
    ),
)

SUITES: Final = (
    Suite(
        "check",
        "formatting, lint, types, architecture, links of the documents",
        (
            _python("ruff", "format", "--check", "."),
            _python("ruff", "check", "."),
            _python("mypy"),
            (sys.executable.removesuffix("python") + "lint-imports",),
            (sys.executable.removesuffix("python") + "properdocs", "build", "--strict"),
        ),
        seconds=20,
        long_seconds=20,
        cores=0.5,
        has_long=False,
    ),
    Suite("unit", "decisions, without I/O", _pytest("tests/unit"), seconds=45, long_seconds=45, cores=0.8),
    Suite(
        "e2e",
        "Kubernetes on nodes in guests, with the official sidecars; or KUBECONFIG's cluster",
        _pytest("-s", "--timeout=1200", "tests/e2e"),
        seconds=600,
        long_seconds=3200,
        cores=1.0,
        needs=("guests", "apiserver", "cluster"),
    ),
    Suite(
        "test-vm",
        "the node in guests with kernels of their own: quota, hot-plug, faults, reboot, SMART, chaos",
        _pytest("-n", "2", "--dist", "loadgroup", "--timeout=300", "tests/vm"),
        seconds=360,
        long_seconds=1000,
        cores=0.7,
        needs=("guests",),
    ),
    Suite(
        "crash",
        "the whole stack: the plugin, kill -9, frozen leaders, lost registry and JetStream",
        _pytest("-n", "3", "--dist", "loadgroup", "tests/stack", "tests/crash"),
        seconds=230,
        long_seconds=280,
        cores=0.9,
        needs=("devices",),
    ),
    Suite(
        "kubernetes",
        "registry, election, who may come in, installer, scheduling, Helm chart and krew against a real API server",
        _pytest(
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "--timeout=300",
            "tests/integration/kubernetes_registry",
            "tests/integration/kubernetes_admission",
            "tests/integration/kubernetes_install",
            "tests/integration/kubernetes_scheduling",
            "tests/helm",
        ),
        seconds=400,
        long_seconds=400,
        cores=0.8,
        needs=("devices", "apiserver", "tools"),
        behind="e2e",
    ),
    Suite(
        "integration",
        "each service with real NATS, SQLite, loop devices, processes",
        _pytest("-n", "3", "--dist", "worksteal", "tests/integration", "--ignore-glob=*/kubernetes_*"),
        seconds=330,
        long_seconds=330,
        cores=0.8,
        needs=("devices", "csi-sanity"),  # the same Go
        behind="e2e",
    ),
    Suite(
        "sanity",
        "csi-sanity against a running stack",
        _pytest("-s", "tests/sanity"),
        seconds=10,
        long_seconds=10,
        cores=0.5,
        needs=("devices", "csi-sanity"),
    ),
    Suite(
        "console",
        "the web console in chromium, before a running stack: who may come in, every page and action",
        _pytest("-n", "3", "--dist", "loadfile", "tests/console"),
        seconds=90,
        long_seconds=90,
        cores=0.7,
        needs=("devices", "browser"),
        behind="e2e",
        has_long=False,
    ),
)
