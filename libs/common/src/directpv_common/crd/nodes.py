"""DirectPVNode and DirectPVInitRequest: how upstream's plugin asks for devices, and for formatting them."""

from collections.abc import Iterable
from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.crd.labels import label_value
from directpv_common.crd.shape import Object
from directpv_common.protocol import names

PENDING: Final = "Pending"
PROCESSED: Final = "Processed"
ERROR: Final = "Error"
CREATED_BY: Final = "node-controller"


def wants_refresh(obj: Object) -> bool:
    """Tell whether somebody waits for the devices of a DirectPVNode."""
    return bool((obj.get("spec") or {}).get("refresh"))


def refreshed(obj: Object, devices: Iterable[m.Device]) -> Object:
    """Return the DirectPVNode ``obj`` with the devices that its node has now."""
    name = obj["metadata"]["name"]
    facts = {names.NODE: label_value(name), names.VERSION: names.API_VERSION, names.CREATED_BY: CREATED_BY}
    labels = {**(obj["metadata"].get("labels") or {}), **facts}
    return {
        **obj,
        "metadata": {**obj["metadata"], "labels": labels},
        "spec": {**(obj.get("spec") or {}), "refresh": False},
        "status": {**(obj.get("status") or {}), "devices": [_device(device) for device in devices]},
    }


def _device(device: m.Device) -> Object:
    shown: Object = {"name": device.name, "id": device.id, "majorMinor": device.major_minor, "size": device.size}
    optional = {
        "make": device.make,
        "fsType": _fs_type(device),
        "fsuuid": device.fsuuid,
        "deniedReason": "; ".join(device.denied),
    }
    return {**shown, **{key: value for key, value in optional.items() if value}}


def _fs_type(device: m.Device) -> str:
    """Return the word that udev has for what is on a device; the others, and remarks, are for people."""
    return device.fs_type.partition(",")[0].partition(" (")[0]


def is_pending(obj: Object) -> bool:
    """Tell whether a DirectPVInitRequest waits to be worked on, and nobody has taken it back."""
    return obj["status"].get("status") == PENDING and "deletionTimestamp" not in obj["metadata"]


def requested(obj: Object) -> m.InitDevices:
    """Return what a DirectPVInitRequest asks for.

    Raises:
        ValueError: Its label names no node, or a device has no id of ours.
    """
    node = (obj["metadata"].get("labels") or {}).get(names.NODE, "")
    devices = tuple(
        m.FormatDevice(id=each["id"], name=each["name"], force=each["force"]) for each in obj["spec"]["devices"]
    )
    bad = [device.name for device in devices if "$" not in device.id]
    if not node or bad:
        raise ValueError(f"device {bad[0]} has no valid id" if bad else f"label {names.NODE} is missing")
    return m.InitDevices(node=node, devices=devices)


def answered(obj: Object, results: Iterable[m.FormatResult]) -> Object:
    """Return the DirectPVInitRequest ``obj`` with one result per device."""
    shown = [{"name": each.name, **({"error": each.error} if each.error else {})} for each in results]
    return {**obj, "status": {**obj["status"], "status": PROCESSED, "results": shown}}


def refused(obj: Object, why: str) -> Object:
    """Return the DirectPVInitRequest ``obj`` as failed as a whole, with the reason at each device."""
    shown = [{"name": each["name"], "error": why} for each in obj["spec"]["devices"]]
    return {**obj, "status": {**obj["status"], "status": ERROR, "results": shown}}
