"""The Helm chart, rendered by Helm: it says what ``install -o yaml`` says, object by object."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Flags
from directpv_cli.install.objects.parse import parse

from .conftest import CHART, TOP, run

KUBE = "1.37.0"


def rendered(values: dict[str, Any], directory: Path, version: str = KUBE) -> dict[tuple[str, str], Any]:
    file = directory / "values.json"
    file.write_text(json.dumps(values))
    done = run("template", "directpv", str(CHART), "--include-crds", f"--kube-version={version}", "-f", str(file))
    assert done.returncode == 0, done.stderr
    items = [item for item in yaml.safe_load_all(done.stdout) if item]
    return by_name([item for item in items if item["kind"] != "Secret"])  # made up by whoever installs


def by_name(items: list[Any]) -> dict[tuple[str, str], Any]:
    found = {(item["kind"], item["metadata"]["name"]): item for item in items}
    assert len(found) == len(items)
    return found


def printed(**flags: Any) -> dict[tuple[str, str], Any]:
    return by_name(list(yaml.safe_load_all(manifest.to_yaml(manifest.objects(parse(replace(Flags(), **flags)))))))


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"nats": {"replicas": 1}, "controller": {"replicas": 1}}, {"nats_replicas": 1, "controller_replicas": 1}),
    ({"nats": {"url": "nats://n:4222"}}, {"nats_url": "nats://n:4222"}),
    (
        {"nats": {"url": "nats://n:4222", "leafUrl": "nats-leaf://a:7422,nats-leaf://b:7422"}},
        {"nats_url": "nats://n:4222", "nats_leaf_url": "nats-leaf://a:7422,nats-leaf://b:7422"},
    ),
    (
        {
            "nodeSelector": {"drives": "yes", "kubernetes.io/os": "linux"},
            "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}],
            "imagePullSecrets": [{"name": "key"}],
            "kubeletDir": "/data/kubelet/",
            "subjectPrefix": "other.v1",
        },
        {
            "node_selector": ["drives=yes"],
            "tolerations": ["k=v:NoSchedule"],
            "image_pull_secrets": ["key"],
            "kubelet_dir": "/data/kubelet/",
            "subject_prefix": "other.v1",
        },
    ),
    (
        {"registry": "r.example:5000", "org": "o", "image": "directpv:x", "sidecarImages": {"livenessprobe": "l:1"}},
        {"registry": "r.example:5000", "org": "o", "image": "directpv:x", "sidecar_images": ["livenessprobe=l:1"]},
    ),
    ({"registry": "r.example"}, {"registry": "r.example"}),
    ({"image": "directpv@sha256:" + "a" * 64}, {"image": "directpv@sha256:" + "a" * 64}),
    ({"openshift": True}, {"openshift": True}),
    (
        {"openshift": True, "nats": {"url": "nats://n:4222"}},
        {"openshift": True, "nats_url": "nats://n:4222"},
    ),
    (
        {"apparmorProfile": "directpv", "seccompProfile": "directpv.json"},
        {"apparmor_profile": "directpv", "seccomp_profile": "directpv.json"},
    ),
    ({"otlpEndpoint": "http://otel:4318"}, {"otlp_endpoint": "http://otel:4318"}),
    (
        {"controller": {"onPredictedFailure": "cordon", "initRequests": "off"}},
        {"on_predicted_failure": "cordon", "init_requests": "off"},
    ),
]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("values", "flags"), CASES, ids=str)
def test_values_say_what_flags_say(values: dict[str, Any], flags: dict[str, Any], tmp_path: Path) -> None:
    chart, cli = rendered(values, tmp_path), printed(**flags)
    assert set(chart) == set(cli)
    for name in cli:
        assert chart[name] == cli[name]


def test_the_default_is_the_manifest_in_the_repository(tmp_path: Path) -> None:
    text = (TOP / "manifests/directpv.yaml").read_text()
    assert rendered({}, tmp_path) == by_name(list(yaml.safe_load_all(text)))


@pytest.mark.parametrize("version", ["1.26", "1.27", "1.36"])
def test_the_chart_asks_old_clusters_for_what_install_asks_them(version: str, tmp_path: Path) -> None:
    assert rendered({}, tmp_path, f"{version}.3") == printed(kube_version=version)


@pytest.mark.parametrize(
    ("nats", "made"),
    [({}, True), ({"replicas": 1}, True), ({"createSecret": False}, False), ({"url": "nats://n"}, False)],
)
def test_the_secret_of_the_bus_is_made_up_where_there_is_none(nats: dict[str, Any], made: bool, tmp_path: Path) -> None:
    found = []
    for number in range(2):
        file = tmp_path / f"values-{number}.json"
        file.write_text(json.dumps({"nats": nats}))
        done = run("template", "directpv", str(CHART), f"--kube-version={KUBE}", "-f", str(file))
        assert done.returncode == 0, done.stderr
        items = [item for item in yaml.safe_load_all(done.stdout) if item]
        found += [item["data"]["secret"] for item in items if item["kind"] == "Secret"]
    assert [len(base64.b64decode(secret)) for secret in found] == [64, 64] * made
    assert len(set(found)) == len(found)


def test_the_namespace_can_be_somebody_elses(tmp_path: Path) -> None:
    found = rendered({"createNamespace": False}, tmp_path)
    assert set(rendered({}, tmp_path)) - set(found) == {("Namespace", "directpv")}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nats": {"replicas": 2}}, "replicas"),
        ({"controller": {"onPredictedFailure": "ignore"}}, "onPredictedFailure"),
        ({"kubeletDir": "relative"}, "kubeletDir"),
        ({"nodeSelectors": {}}, "nodeSelectors"),
        ({"nats": {"leafUrl": "nats-leaf://a:7422"}}, "nats.url"),
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused_by_their_name(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    done = run("template", "directpv", str(CHART), f"--kube-version={KUBE}", "-f", str(file))
    assert done.returncode != 0
    assert said in done.stderr


def test_a_profile_that_an_old_cluster_cannot_have_is_refused(tmp_path: Path) -> None:
    done = run("template", "d", str(CHART), "--kube-version=1.29.0", "--set=apparmorProfile=p")
    assert done.returncode != 0
    assert "1.30" in done.stderr


def test_helm_has_nothing_against_the_chart() -> None:
    done = run("lint", str(CHART), "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
