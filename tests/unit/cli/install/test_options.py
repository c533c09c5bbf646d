"""Flags of ``install``: what they accept, and that what they refuse names the flag and the fix."""

from dataclasses import fields, replace
from typing import Any

import pytest

from directpv_cli.install.objects.kube_version import KubeVersion, parse_kube_version
from directpv_cli.install.objects.options import Flags
from directpv_cli.install.objects.parse import parse


def of(**flags: Any) -> Any:
    return parse(replace(Flags(), **flags))


def test_selectors_and_tolerations_come_by_commas_or_by_repeating() -> None:
    options = of(node_selector=["a=1,b/c=2", "d="], tolerations=["k:NoExecute, x/y=z:PreferNoSchedule"])
    assert options.node_selector == {"a": "1", "b/c": "2", "d": ""}
    assert options.tolerations == [
        {"key": "k", "operator": "Exists", "effect": "NoExecute"},
        {"key": "x/y", "operator": "Equal", "value": "z", "effect": "PreferNoSchedule"},
    ]


def test_an_empty_value_tolerates_only_the_taint_without_value() -> None:
    assert of(tolerations=["k=:NoSchedule"]).tolerations == [
        {"key": "k", "operator": "Equal", "value": "", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(
    ("flags", "flag", "fix"),
    [
        ({"node_selector": ["a"]}, "--node-selector", "KEY=VALUE"),
        ({"control_node_selector": ["a"]}, "--control-node-selector", "KEY=VALUE"),
        ({"node_selector": ["=b"]}, "--node-selector", "KEY=VALUE"),
        ({"node_selector": ["a/b/c=d"]}, "--node-selector", "label key"),
        ({"node_selector": ["a=b c"]}, "--node-selector", "label value"),
        ({"node_selector": ["a=" + "x" * 64]}, "--node-selector", "at most 63"),
        ({"node_selector": ["a=1", "a=2"]}, "--node-selector", "twice"),
        ({"tolerations": ["a=b"]}, "--tolerations", "KEY[=VALUE]:EFFECT"),
        ({"tolerations": ["a:Never"]}, "--tolerations", "NoSchedule, PreferNoSchedule, NoExecute"),
        ({"tolerations": [":NoSchedule"]}, "--tolerations", "label key"),
        ({"registry": "bad registry"}, "--registry", "REGISTRY/ORG/NAME:TAG"),
        ({"org": "/"}, "--org", "REGISTRY/ORG/NAME:TAG"),
        ({"image": "x@sha256:12"}, "--image", "DIGEST"),
        ({"sidecar_images": ["snapshotter=x"]}, "--sidecar-image", "csi-provisioner"),
        ({"sidecar_images": ["x"]}, "--sidecar-image", "NAME=IMAGE"),
        ({"image_pull_secrets": ["Not_A_Name"]}, "--image-pull-secrets", "lower-case"),
        ({"apparmor_profile": "a b"}, "--apparmor-profile", "profile"),
        ({"seccomp_profile": "../../etc/passwd"}, "--seccomp-profile", "profile"),
        ({"kube_version": "2.0"}, "--kube-version", "1."),
        ({"kube_version": "latest"}, "--kube-version", "1."),
        ({"kubelet_dir": "var/lib/kubelet"}, "KUBELET_DIR_PATH", "absolute"),
        ({"kubelet_dir": "/var/../etc"}, "KUBELET_DIR_PATH", "absolute"),
        ({"kubelet_dir": "/"}, "KUBELET_DIR_PATH", "absolute"),
        ({"nats_url": "nats.example"}, "--nats-url", "nats://"),
        ({"nats_url": "nats://nats.example"}, "--nats-url", ":4222"),
        ({"nats_url": "nats://me:secret@nats.example:4222"}, "--nats-url", "readable"),
        ({"nats_url": "nats://h:4222", "nats_leaf_url": "http://h:1"}, "--nats-leaf-url", "nats-leaf://"),
        ({"nats_leaf_url": "nats-leaf://h:7422"}, "--nats-leaf-url", "--nats-url"),
        ({"nats_replicas": 2}, "--nats-replicas", "3, or 1"),
        ({"controller_replicas": 0}, "--controller-replicas", "1 to 9"),
        ({"on_predicted_failure": "ignore"}, "--on-predicted-failure", "report, cordon"),
        ({"init_requests": "maybe"}, "--init-requests", "on, off"),
        ({"subject_prefix": "a..b"}, "--subject-prefix", "dots"),
        ({"otlp_endpoint": "otel:4317"}, "--otlp-endpoint", "http://otel.example:4318"),
    ],
)
def test_what_is_refused_names_the_flag_and_the_fix(flags: dict[str, Any], flag: str, fix: str) -> None:
    with pytest.raises(ValueError) as refused:
        of(**flags)
    assert flag in str(refused.value)
    assert fix in str(refused.value)


def test_a_secret_in_a_url_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ValueError) as refused:
        of(nats_url="nats://me:hunter2@nats.example:4222")
    assert "hunter2" not in str(refused.value)


def test_every_option_but_derived_ones_has_a_flag_of_its_name() -> None:
    options = {each.name for each in fields(type(of()))} - {"images", "pull_secrets"}
    assert options <= {each.name for each in fields(Flags)}


@pytest.mark.parametrize("text", ["1.31", "v1.31.2", "1.31.4-eks-2d5f260", "1.31.0+k3s1"])
def test_versions_are_read_as_distributions_write_them(text: str) -> None:
    assert parse_kube_version(text) == KubeVersion(1, 31)


def test_with_a_registry_of_ones_own_every_image_comes_from_there() -> None:
    images = of(registry="reg.example:5000", org="mirror", image="directpv:x").images
    assert {each.rpartition("/")[0] for each in (images.driver, *images.sidecars.values())} == {
        "reg.example:5000/mirror"
    }
    assert images.tag == "x"


def test_without_one_sidecars_are_the_official_ones_for_all_architectures() -> None:
    assert all(each.startswith("registry.k8s.io/sig-storage/") for each in of().images.sidecars.values())


def test_on_openshift_sidecars_are_red_hats_whatever_the_registry() -> None:
    images = of(openshift=True, registry="reg.example", org="mirror").images
    assert all(each.startswith("registry.redhat.io/") for each in images.sidecars.values())
    assert images.driver.startswith("reg.example/mirror/")


def test_a_sidecar_can_be_pinned_by_digest_whatever_else_is_chosen() -> None:
    pinned = "reg.example/csi-resizer@sha256:" + "a" * 64
    images = of(openshift=True, sidecar_images=[f"csi-resizer={pinned}"]).images
    assert images.sidecars["csi-resizer"] == pinned
    assert images.sidecars["livenessprobe"].startswith("registry.redhat.io/")
