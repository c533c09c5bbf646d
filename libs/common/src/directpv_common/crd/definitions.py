"""The four CustomResourceDefinitions, compatible with those of upstream v4.1.6.

Same group, version, names, scope and schema, without status sub-resource, because upstream's plugin writes whole
objects. Added: short names, a category, and columns for ``kubectl get``.
"""

from typing import Any, Final, NamedTuple

from directpv_common.crd.shape import MESSAGE_MAX, Object
from directpv_common.protocol import names

_STRING: Final[Object] = {"type": "string"}
_INTEGER: Final[Object] = {"type": "integer", "format": "int64"}
_BOOLEAN: Final[Object] = {"type": "boolean"}


class Resource(NamedTuple):
    """What one custom resource is called."""

    kind: str
    plural: str
    short: str


DRIVES: Final = Resource("DirectPVDrive", "directpvdrives", "dpdrive")
VOLUMES: Final = Resource("DirectPVVolume", "directpvvolumes", "dpvolume")
NODES: Final = Resource("DirectPVNode", "directpvnodes", "dpnode")
INIT_REQUESTS: Final = Resource("DirectPVInitRequest", "directpvinitrequests", "dpinit")


def custom_resource_definitions() -> list[Object]:
    """Return the definitions of drives, volumes, nodes and init requests, ready to be applied."""
    return [_drives(), _volumes(), _nodes(), _init_requests()]


def _definition(resource: Resource, columns: list[Object], required: list[str], **properties: Object) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "categories": ["directpv"],
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "shortNames": [resource.short],
                "singular": resource.kind.lower(),
            },
            "scope": "Cluster",
            "versions": [
                {
                    "name": names.API_VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [*columns, _column("Age", ".metadata.creationTimestamp", "date")],
                    "schema": {"openAPIV3Schema": _schema(required, properties)},
                }
            ],
        },
    }


def _schema(required: list[str], properties: dict[str, Object]) -> Object:
    common: dict[str, Object] = {"apiVersion": _STRING, "kind": _STRING, "metadata": {"type": "object"}}
    return _object(["metadata", *required], **common, **properties)


def _object(required: list[str], **properties: Object) -> Object:
    schema: Object = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _list(items: Object) -> Object:
    return {"type": "array", "items": items, "x-kubernetes-list-type": "atomic"}


def _column(name: str, path: str, kind: str = "string", **more: Any) -> Object:
    return {"name": name, "type": kind, "jsonPath": path, **more}


def _label_column(name: str, label: str) -> Object:
    return _column(name, f".metadata.labels.{label.replace('.', chr(92) + '.')}")


def _conditions() -> Object:
    """Return the schema of metav1.Condition, one of each type."""
    condition = _object(
        ["lastTransitionTime", "message", "reason", "status", "type"],
        lastTransitionTime={"type": "string", "format": "date-time"},
        message={"type": "string", "maxLength": MESSAGE_MAX},
        observedGeneration={**_INTEGER, "minimum": 0},
        reason={
            "type": "string",
            "maxLength": 1024,
            "minLength": 1,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        status={"type": "string", "enum": ["True", "False", "Unknown"]},
        type={
            "type": "string",
            "maxLength": 316,
            "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        },
    )
    return {
        "type": "array",
        "items": condition,
        "x-kubernetes-list-map-keys": ["type"],
        "x-kubernetes-list-type": "map",
    }


def _drives() -> Object:
    columns = [
        _label_column("Node", names.NODE),
        _label_column("Name", names.DRIVE_NAME),
        _column("Make", ".status.make", priority=1),
        _column("Total", ".status.totalCapacity", "integer", description="bytes"),
        _column("Free", ".status.freeCapacity", "integer", description="bytes"),
        _label_column("Tier", names.ACCESS_TIER),
        _column("Cordoned", ".spec.unschedulable", "boolean"),
        _column("Status", ".status.status"),
    ]
    status = _object(
        ["allocatedCapacity", "freeCapacity", "fsuuid", "status", "topology", "totalCapacity"],
        allocatedCapacity=_INTEGER,
        conditions=_conditions(),
        freeCapacity=_INTEGER,
        fsuuid=_STRING,
        make=_STRING,
        status=_STRING,
        topology={"type": "object", "additionalProperties": _STRING},
        totalCapacity=_INTEGER,
    )
    spec = _object([], relabel=_BOOLEAN, unschedulable=_BOOLEAN)
    return _definition(DRIVES, columns, ["status"], spec=spec, status=status)


def _volumes() -> Object:
    columns = [
        _label_column("Node", names.NODE),
        _column("Drive", ".status.fsuuid"),
        _column("Capacity", ".status.totalCapacity", "integer", description="bytes"),
        _label_column("Pod", names.POD_NAME),
        _label_column("Namespace", names.POD_NAMESPACE),
        _column("Status", ".status.status"),
    ]
    texts = ("dataPath", "fsuuid", "stagingTargetPath", "status", "targetPath")
    sizes = ("availableCapacity", "totalCapacity", "usedCapacity")
    status = _object(
        sorted((*texts, *sizes)),
        conditions=_conditions(),
        **dict.fromkeys(texts, _STRING),
        **dict.fromkeys(sizes, _INTEGER),
    )
    return _definition(VOLUMES, columns, ["status"], status=status)


def _nodes() -> Object:
    texts = ("deniedReason", "fsType", "fsuuid", "id", "majorMinor", "make", "name")
    device = _object(["id", "majorMinor", "name", "size"], size=_INTEGER, **dict.fromkeys(texts, _STRING))
    status = _object(["devices"], conditions=_conditions(), devices=_list(device))
    columns = [_column("Refreshing", ".spec.refresh", "boolean")]
    return _definition(NODES, columns, ["status"], spec=_object([], refresh=_BOOLEAN), status=status)


def _init_requests() -> Object:
    device = _object(["force", "id", "name"], force=_BOOLEAN, id=_STRING, name=_STRING)
    result = _object(["name"], error=_STRING, name=_STRING)
    spec = _object(["devices"], devices=_list(device))
    status = _object(["results", "status"], results=_list(result), status=_STRING)
    columns = [_label_column("Node", names.NODE), _column("Status", ".status.status")]
    return _definition(INIT_REQUESTS, columns, ["spec", "status"], spec=spec, status=status)
