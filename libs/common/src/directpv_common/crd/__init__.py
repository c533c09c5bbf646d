"""Drives and volumes in the shape of upstream's custom resources (group ``directpv.min.io``, version ``v1beta1``)."""

from directpv_common.crd.definitions import DRIVES, INIT_REQUESTS, NODES, VOLUMES, Resource, custom_resource_definitions
from directpv_common.crd.drives import (
    Reservation,
    claim_label,
    drive_from_object,
    drive_to_object,
    held_volumes,
)
from directpv_common.crd.labels import is_label_value, label_value, object_name, volume_finalizer
from directpv_common.crd.listing import drive_object, volume_object
from directpv_common.crd.shape import (
    DATA_PROTECTION,
    EPOCH,
    NOTHING,
    PURGE_PROTECTION,
    PV_PROTECTION,
    RECORD,
    Object,
    Rest,
    epoch_of,
    odd_epoch,
)
from directpv_common.crd.volumes import (
    data_path,
    shown_use,
    shows_use,
    volume_from_object,
    volume_name,
    volume_to_object,
)

__all__ = [
    "DATA_PROTECTION",
    "DRIVES",
    "EPOCH",
    "INIT_REQUESTS",
    "NODES",
    "NOTHING",
    "PURGE_PROTECTION",
    "PV_PROTECTION",
    "RECORD",
    "VOLUMES",
    "Object",
    "Reservation",
    "Resource",
    "Rest",
    "claim_label",
    "custom_resource_definitions",
    "data_path",
    "drive_from_object",
    "drive_object",
    "drive_to_object",
    "epoch_of",
    "held_volumes",
    "is_label_value",
    "label_value",
    "object_name",
    "odd_epoch",
    "shown_use",
    "shows_use",
    "volume_finalizer",
    "volume_from_object",
    "volume_name",
    "volume_object",
    "volume_to_object",
]
