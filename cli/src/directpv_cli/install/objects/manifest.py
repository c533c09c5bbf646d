"""All objects of an installation, in the order in which they go in; and as text."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
import yaml

from directpv_cli.install.objects import base, controller, nats, node, rbac
from directpv_cli.install.objects.base import LABELS, Object
from directpv_cli.install.objects.options import Options
from directpv_common.crd.definitions import custom_resource_definitions

CRD: Final = "CustomResourceDefinition"


def definitions() -> list[Object]:
    """Return the four CustomResourceDefinitions, with the labels of everything that is installed."""
    return [_labelled(definition) for definition in custom_resource_definitions()]


def _labelled(definition: Object) -> Object:
    meta = definition["metadata"]
    return {**definition, "metadata": {**meta, "labels": {**LABELS, **meta.get("labels", {})}}}


def objects(options: Options) -> list[Object]:
    """Return every object: each after those that it refers to."""
    own_nats = not options.nats_url
    accounts = [rbac.CONTROLLER, rbac.NODE, *([rbac.NATS] if own_nats else [])]
    return [
        base.namespace(options),
        *definitions(),
        *(rbac.account(name) for name in accounts),
        *rbac.controller_rights(guard=own_nats),
        *(rbac.people() if own_nats else []),
        *(rbac.openshift_bindings(nats=own_nats) if options.openshift else []),
        base.csi_driver(options.kube_version),
        base.storage_class(),
        *nats.objects(options, node.POD, controller.POD),
        *controller.objects(options),
        *nats.servers(options),
        node.daemon_set(options),
    ]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values out: a manifest is read by people."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(items: Iterable[Object]) -> str:
    """Return YAML documents, each begun by ``---``; the same objects give the same text."""
    return "".join(
        "---\n" + yaml.dump(item, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True) for item in items
    )


def to_json(items: Iterable[Object]) -> str:
    """Return JSON objects one after another, without separator, as upstream prints them and kubectl reads them."""
    return "".join(orjson.dumps(item, option=orjson.OPT_INDENT_2).decode() + "\n" for item in items)


def name_of(item: Object) -> str:
    """Return kind and name, for messages."""
    return f"{item['kind']} {item['metadata']['name']}"


def of_kind(items: Sequence[Object], kind: str) -> list[Object]:
    """Return the objects of one kind."""
    return [item for item in items if item["kind"] == kind]
