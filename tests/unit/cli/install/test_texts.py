"""What ``install --output`` prints, what its flags are refused for, and the texts of the chart."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from directpv_cli.app import app
from directpv_cli.install.chart import render as chart
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options


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


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--kube-version=1.30"], "--kube-version"), (["-o", "yaml", "--wait=5"], "--wait")]
)
def test_flags_that_would_do_nothing_are_refused(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["install", "--kubeconfig=/nonexistent", *arguments])
    assert result.exit_code == 255
    assert named in result.output
