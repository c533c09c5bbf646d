"""What is written to files and to standard output: manifests, chart, audit."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from directpv_cli.app import app
from directpv_cli.install import chart, manifest
from directpv_cli.install.audit import audit_file
from directpv_cli.install.base import csi_driver, storage_class
from directpv_cli.install.generate import files
from directpv_cli.install.images import SIDECARS
from directpv_cli.install.options import Options

TOP = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", files())
def test_manifests_are_what_the_code_makes(name: str) -> None:
    assert (TOP / "manifests" / name).read_text() == files()[name], "run scripts/manifests"


def test_nothing_else_is_among_the_manifests() -> None:
    found = {str(path.relative_to(TOP / "manifests")) for path in (TOP / "manifests").rglob("*") if path.is_file()}
    assert {name for name in found if name.startswith("helm/")} == {
        name for name in files() if name.startswith("helm/")
    }


def test_yaml_and_json_say_the_same() -> None:
    runner = CliRunner()
    texts = {kind: runner.invoke(app, ["install", "-o", kind]).stdout for kind in ("yaml", "json")}
    decoder, rest, objects = json.JSONDecoder(), texts["json"], []
    while rest.strip():
        item, end = decoder.raw_decode(rest.lstrip())
        objects.append(item)
        rest = rest.lstrip()[end:]
    assert list(yaml.safe_load_all(texts["yaml"])) == objects == manifest.objects(Options())


def test_yaml_has_no_references_that_people_must_follow() -> None:
    assert "&id" not in manifest.to_yaml(manifest.objects(Options()))


def test_bad_arguments_end_with_upstreams_status() -> None:
    for arguments in (["--tolerations=x"], ["-o", "xml"], ["--nats-replicas=2"]):
        assert CliRunner().invoke(app, ["install", *arguments]).exit_code == 255


def test_kubelets_folder_comes_from_the_environment() -> None:
    result = CliRunner().invoke(app, ["install", "-o", "yaml"], env={"KUBELET_DIR_PATH": "/data/kubelet"})
    assert "/data/kubelet/pods" in result.stdout
    assert "/var/lib/kubelet" not in result.stdout


def test_no_word_that_stands_for_a_value_is_left_in_the_chart() -> None:
    assert not [name for name, text in chart.files().items() if "zz-" in text]


def test_an_audit_file_holds_what_was_written_once_it_is_over(tmp_path: Path) -> None:
    with audit_file(tmp_path, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) as audit:
        audit.note(csi_driver())
        audit.note(storage_class())
    [file] = (tmp_path / ".directpv" / "audit").iterdir()
    assert file.name == "install.log.2026-01-02T03:04:05.000000000Z"
    assert list(yaml.safe_load_all(file.read_text())) == [csi_driver(), storage_class()]
    assert file.parent.stat().st_mode & 0o077 == 0


def test_an_audit_that_cannot_be_written_is_told_of_and_hurts_nobody(tmp_path: Path) -> None:
    (tmp_path / ".directpv").write_text("a file, where a folder should be")
    with audit_file(tmp_path) as audit:
        audit.note(csi_driver())
    assert audit.problem


@pytest.mark.parametrize(
    ("sidecar", "module"),
    [("csi-provisioner", "external-provisioner"), ("csi-resizer", "external-resizer")],
)
def test_the_sidecars_that_are_shipped_are_those_that_tests_run(sidecar: str, module: str) -> None:
    text = (TOP / "tests/e2e/sidecars" / module / "go.mod").read_text()
    pinned = re.findall(rf"^\tgithub\.com/kubernetes-csi/{module}/v\d+ (\S+)", text, flags=re.MULTILINE)
    assert pinned == [SIDECARS[sidecar]]


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--kube-version=1.30"], "--kube-version"), (["-o", "yaml", "--wait=5"], "--wait")]
)
def test_flags_that_would_do_nothing_are_refused(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["install", "--kubeconfig=/nonexistent", *arguments])
    assert result.exit_code == 255
    assert named in result.output
