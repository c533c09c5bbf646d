"""A real API server takes exactly the objects that upstream v4.1.6 writes: fields, types and names of its four kinds.

The objects here are laid out by hand from those facts, and not from our definitions.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from integration.kubernetes_registry.harness import DRIVES, NODES, REQUESTS, VOLUMES, Cluster
from support.kube.rest import Refused

pytestmark = pytest.mark.timeout(180)

Object = dict[str, Any]
ONE = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
CONDITION = {
    "type": "MountError",
    "status": "True",
    "reason": "DriveHasMountError",
    "message": "why",
    "lastTransitionTime": "2025-05-05T05:05:05Z",
}
FULL: dict[str, tuple[str, Object]] = {
    DRIVES: (
        "DirectPVDrive",
        {
            "spec": {"unschedulable": True, "relabel": True},
            "status": {
                "totalCapacity": 2**40,
                "allocatedCapacity": 0,
                "freeCapacity": 2**39,
                "fsuuid": ONE,
                "status": "Whatever",
                "topology": {"directpv.min.io/node": "n1"},
                "make": "ACME",
                "conditions": [CONDITION],
            },
        },
    ),
    VOLUMES: (
        "DirectPVVolume",
        {
            "status": {
                "dataPath": "",
                "stagingTargetPath": "",
                "targetPath": "",
                "fsuuid": ONE,
                "totalCapacity": 2**40,
                "availableCapacity": 2**40,
                "usedCapacity": 0,
                "status": "Whatever",
                "conditions": [CONDITION],
            }
        },
    ),
    NODES: (
        "DirectPVNode",
        {
            "spec": {"refresh": True},
            "status": {
                "devices": [
                    {
                        "name": "sdb",
                        "id": "x$y",
                        "majorMinor": "8:16",
                        "size": 2**40,
                        "make": "ACME",
                        "fsType": "xfs",
                        "fsuuid": ONE,
                        "deniedReason": "Mounted",
                    }
                ],
                "conditions": [CONDITION],
            },
        },
    ),
    REQUESTS: (
        "DirectPVInitRequest",
        {
            "spec": {"devices": [{"id": "x$y", "name": "sdb", "force": False}]},
            "status": {"status": "Whatever", "results": [{"name": "sdb", "error": "no"}]},
        },
    ),
}
OPTIONAL = {
    "spec.unschedulable",
    "spec.relabel",
    "status.make",
    "status.conditions",
    "spec.refresh",
    "status.devices.0.make",
    "status.devices.0.fsType",
    "status.devices.0.fsuuid",
    "status.devices.0.deniedReason",
    "status.results.0.error",
}
SPEC_IS_OPTIONAL = {DRIVES, NODES}


def paths(part: Any, at: str = "") -> Iterator[str]:
    """Yield the path of every field; not those within conditions, which are Kubernetes' own, nor keys of a map."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in pairs:
        path = f"{at}.{key}".removeprefix(".")
        if not path.split(".")[-1].isdecimal():
            yield path
        if key not in ("conditions", "topology"):
            yield from paths(value, path)


def parent(obj: Object, path: str) -> tuple[Any, str]:
    *way, last = path.split(".")
    part: Any = obj
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part[step]
    return part, last


def made(resource: str) -> Object:
    kind, content = FULL[resource]
    return {
        "apiVersion": "directpv.min.io/v1beta1",
        "kind": kind,
        "metadata": {"name": ONE},
        **copy.deepcopy(content),
    }


CASES = [(resource, path) for resource, (_, content) in FULL.items() for path in paths(content)]


def is_optional(resource: str, path: str) -> bool:
    return path in OPTIONAL or (path == "spec" and resource in SPEC_IS_OPTIONAL)


@pytest.mark.parametrize("resource", FULL)
def test_every_field_is_kept_and_no_other(cluster: Cluster, resource: str) -> None:
    obj = made(resource)
    obj["status"]["unknown"] = "x"

    stored = cluster.objects.call("POST", resource, obj)

    del obj["status"]["unknown"]
    assert {key: stored.get(key) for key in ("spec", "status")} == {key: obj.get(key) for key in ("spec", "status")}
    stored["status"] |= {"status": "Other"} if resource != NODES else {"devices": []}
    again = cluster.objects.call("PUT", f"{resource}/{ONE}", stored)
    assert again["status"] == stored["status"], "a status is written with the rest: there is no sub-resource for it"


def test_fields_that_upstream_requires_are_required_and_have_its_types(cluster: Cluster) -> None:
    wrong = []
    for resource, path in CASES:
        for change in ("missing", "of another type"):
            obj = made(resource)
            part, last = parent(obj, path)
            value = part.pop(last)
            if change == "of another type":
                part[last] = 7 if isinstance(value, str | list | dict) else "seven"
            taken = is_taken(cluster, resource, obj)
            if taken is not (change == "missing" and is_optional(resource, path)):
                wrong.append(f"{FULL[resource][0]} with {path} {change} is {'taken' if taken else 'refused'}")
    assert wrong == []


def is_taken(cluster: Cluster, resource: str, obj: Object) -> bool:
    try:
        cluster.objects.call("POST", resource, obj)
    except Refused as error:
        if error.status != 422:
            raise
        return False
    cluster.objects.erase(resource, ONE)
    return True


@pytest.mark.parametrize(
    ("resource", "short", "columns"),
    [
        (DRIVES, "dpdrive", ["NODE", "NAME", "TOTAL", "FREE", "TIER", "CORDONED", "STATUS", "AGE"]),
        (VOLUMES, "dpvolume", ["NODE", "DRIVE", "CAPACITY", "POD", "NAMESPACE", "STATUS", "AGE"]),
        (NODES, "dpnode", ["REFRESHING", "AGE"]),
        (REQUESTS, "dpinit", ["NODE", "STATUS", "AGE"]),
    ],
)
def test_kubectl_shows_them_by_short_names_with_columns(
    cluster: Cluster, resource: str, short: str, columns: list[str]
) -> None:
    cluster.objects.call("POST", resource, made(resource))
    kubectl = cluster.server.kubectl

    header, row = kubectl("get", short).splitlines()

    assert header.split() == ["NAME", *columns]
    assert row.split()[0] == ONE
    assert ONE in kubectl("get", "directpv", "--no-headers"), "the category has it"
    plural = resource.rpartition("/")[2]
    assert json.loads(kubectl("get", plural.removesuffix("s"), ONE, "-o", "json"))["kind"] == FULL[resource][0]
