"""``manifests/`` holds what the code makes, and names the sidecars that tests run."""

import re
from pathlib import Path

import pytest

from directpv_cli.install.objects.images import SIDECARS
from directpv_cli.release.generate import files

TOP = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name", files())
def test_manifests_are_what_the_code_makes(name: str) -> None:
    assert (TOP / name).read_text() == files()[name], "run scripts/manifests"


def test_nothing_else_is_among_the_manifests() -> None:
    folders = ("manifests/helm", "manifests/monitoring", "docs/alerts", "docs/reference")
    found = {str(path.relative_to(TOP)) for folder in folders for path in (TOP / folder).rglob("*") if path.is_file()}
    assert found == {name for name in files() if name.startswith(folders)}


@pytest.mark.parametrize(
    ("sidecar", "module"),
    [("csi-provisioner", "external-provisioner"), ("csi-resizer", "external-resizer")],
)
def test_the_sidecars_that_are_shipped_are_those_that_tests_run(sidecar: str, module: str) -> None:
    text = (TOP / "tests/e2e/sidecars" / module / "go.mod").read_text()
    pinned = re.findall(rf"^\tgithub\.com/kubernetes-csi/{module}/v\d+ (\S+)", text, flags=re.MULTILINE)
    assert pinned == [SIDECARS[sidecar]]
