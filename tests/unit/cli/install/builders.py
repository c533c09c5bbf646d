"""Objects of an installation, and what is in them."""

from dataclasses import replace
from itertools import product
from typing import Any

from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Flags
from directpv_cli.install.objects.parse import parse

Object = dict[str, Any]


def built(**flags: Any) -> list[Object]:
    return manifest.objects(parse(replace(Flags(), **flags)))


def one(items: list[Object], kind: str, name: str) -> Object:
    [found] = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pods(items: list[Object]) -> dict[str, Object]:
    kinds = ("DaemonSet", "Deployment", "StatefulSet")
    return {item["metadata"]["name"]: item["spec"]["template"] for item in items if item["kind"] in kinds}


def containers(pod: Object) -> dict[str, Object]:
    return {each["name"]: each for each in pod["spec"]["containers"]}


ALL = list(
    product(
        [{}, {"nats_url": "nats://n:4222"}, {"nats_url": "nats://n:4222", "nats_leaf_url": "nats-leaf://n:7422"}],
        [{}, {"openshift": True}, {"nats_replicas": 1, "controller_replicas": 1}],
    )
)
