"""Which command lines of kubectl tests send as the one request that they are."""

import json
from typing import Any

import pytest

from support.kube.commands import Request, request_of

DIRECTPV = "/apis/apps/v1/namespaces/directpv"
WHO = "&fieldValidation=Strict"
MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("get deployment/controller -n directpv -o json", f"{DIRECTPV}/deployments/controller"),
        ("-n directpv get DaemonSet node-server -o json", f"{DIRECTPV}/daemonsets/node-server"),
        ("get node n1 -n directpv -o json", "/api/v1/nodes/n1"),
        ("get pvc data -o json", "/api/v1/namespaces/default/persistentvolumeclaims/data"),
    ],
)
def test_an_object_is_read_where_kubectl_would_read_it(words: str, path: str) -> None:
    assert request_of(words.split()) == Request("GET", path)


def test_a_patch_is_of_the_kind_and_the_part_that_are_named() -> None:
    change: Any = {"status": {"phase": "Failed"}}
    words = ["patch", "pod", "p", "-n", "x", "--subresource=status", "--type=merge", "-p"]
    path = f"/api/v1/namespaces/x/pods/p/status?fieldManager=kubectl-patch{WHO}"
    assert request_of([*words, json.dumps(change)]) == Request("PATCH", path, change, MERGE)
    found = request_of(["patch", "pvc", "data", "-p", "{}"])
    assert found is not None
    assert found.kind == "application/strategic-merge-patch+json"


def test_an_object_is_made_by_whom_the_command_names() -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "x"}}
    path = f"/api/v1/namespaces/x/configmaps?fieldManager=somebody{WHO}"
    assert request_of(["create", "--field-manager=somebody", "-f", "-"], json.dumps(made)) == Request(
        "POST", path, made
    )


@pytest.mark.parametrize(
    "words",
    [
        "get pods,pvc -A -o wide",
        "get pods -n x -o json",
        "get pod a -o json --watch",
        "get crd a --output=jsonpath={.metadata.uid}",
        "get configmap theirs",
        "get something a -o json",
        "create token somebody -n x",
        "create namespace x",
        "create --raw /p -f -",
        "exec -n x a -- sh -ec true",
        "delete pod a --grace-period=0 --force",
        "",
    ],
)
def test_what_is_more_than_one_request_or_not_known_is_left_to_kubectl(words: str) -> None:
    assert request_of(words.split(), "{}") is None


@pytest.mark.parametrize("given", ["{}\n---\n{}", "kind: ConfigMap", '{"apiVersion": "v2", "kind": "ConfigMap"}'])
def test_input_that_is_not_one_object_of_a_known_kind_is_left_to_kubectl(given: str) -> None:
    assert request_of(["create", "-f", "-"], given) is None
