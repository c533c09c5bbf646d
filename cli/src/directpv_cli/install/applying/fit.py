"""What stays of an object that is there: what nobody can change, and what an administrator chose. No I/O.

Source: Kubernetes API reference, "CSIDriver", "StorageClass": which fields are immutable, and in which versions.
"""

from collections.abc import Mapping
from typing import Final

from directpv_cli.install.objects.base import Object
from directpv_common.protocol.names import CREATED_BY

KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "CSIDriver": ("volumeLifecycleModes", "fsGroupPolicy"),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode", "allowedTopologies"),
}
"""Upstream's CSIDriver also lists ``Ephemeral``, which does no harm. To replace the CSIDriver would leave the cluster
without one for a moment, in which Kubernetes takes the driver for one that attaches."""


def fitted(item: Object, live: Object | None) -> Object:
    """Return ``item`` with what stays taken from the live object."""
    if live is None:
        return item
    if item["kind"] == "CSIDriver":
        return {**item, "spec": _kept("CSIDriver", item["spec"], live["spec"])}
    if item["kind"] == "Namespace":
        return _not_ours(item, live)
    return _kept(item["kind"], item, live)


def kept(item: Object, fit: Object) -> list[str]:
    """Return the fields in which a fitted object is not as ``item``."""
    one, other = (each.get("spec", each) for each in (item, fit))
    return [key for key in KEPT.get(item["kind"], ()) if one.get(key) != other.get(key)]


def _kept(kind: str, item: Object, live: Object) -> Object:
    fields = KEPT.get(kind, ())
    ours = {key: value for key, value in item.items() if key not in fields}
    return {**ours, **{key: live[key] for key in fields if key in live}}


def _not_ours(item: Object, live: Object) -> Object:
    """Leave out the label by which ``uninstall`` would take a namespace that somebody else made for ours."""
    if CREATED_BY in (live["metadata"].get("labels") or {}):
        return item
    meta = item["metadata"]
    labels = {key: value for key, value in meta["labels"].items() if key != CREATED_BY}
    return {**item, "metadata": {**meta, "labels": labels}}
