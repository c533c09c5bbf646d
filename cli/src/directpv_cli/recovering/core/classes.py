"""Which storage class a volume is of, and how it was to be used, as far as that is remembered."""

from collections.abc import Mapping

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.base import Object
from directpv_common.crd.persistent_volumes import ACCESS_MODES, RETAIN
from directpv_common.protocol.names import DRIVER_NAME, FS_TYPE
from directpv_common.protocol.volume_context import KUBERNETES, class_parameters

DEFAULT_CLASS = DRIVER_NAME
"""What the installer makes, and upstream's does."""


def facts_of(record: m.VolumeRecord, claim: Object | None, classes: Mapping[str, Object], chosen: str) -> m.KeptPv:
    """Return what the PersistentVolume of a volume says: what its claim asks, else what is remembered, else a guess.

    Args:
        record: The volume.
        claim: Its claim, if there is one.
        classes: StorageClasses of this driver.
        chosen: Class that people named; empty: none.
    """
    kept = record.pv or m.KeptPv()
    asked = (claim or {}).get("spec") or {}
    named = asked.get("storageClassName") or kept.storage_class or chosen
    return msgspec.structs.replace(
        kept,
        storage_class=named or guessed(record, classes),
        access_modes=tuple(asked.get("accessModes") or kept.access_modes or ACCESS_MODES),
        reclaim_policy=kept.reclaim_policy or RETAIN,
        fs_type=kept.fs_type or FS_TYPE,
    )


def guessed(record: m.VolumeRecord, classes: Mapping[str, Object]) -> str:
    """Return the class with the volume's parameters; of several, or none, the one that the installer makes."""
    alike = [name for name, found in classes.items() if _parameters(found) == class_parameters(record)]
    return alike[0] if len(alike) == 1 else DEFAULT_CLASS


def _parameters(found: Object) -> dict[str, str]:
    given: Mapping[str, str] = found.get("parameters") or {}
    return {key: value for key, value in given.items() if not key.startswith(KUBERNETES)}
