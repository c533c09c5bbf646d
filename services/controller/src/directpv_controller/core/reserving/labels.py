"""Who owns which field of a drive's record: the node what it observes, people what they decide; what is a label."""

import re
from typing import Final

import msgspec

from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import ChangeDrive, ChangeVolume, DriveRecord, DriveStatus

OBSERVED: Final = ("total", "overhead", "device", "make", "topology", "status", "conditions")
_STATE: Final = ("status", "conditions")
DECIDED: Final = ("unschedulable", "access_tier", "labels")

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


def observed(record: DriveRecord, seen: DriveRecord) -> DriveRecord:
    """Return ``record`` with what its node observed; that it is given up is a decision, whatever its node sees."""
    kept = _STATE if record.status is DriveStatus.REMOVED else ()
    fields = {name: getattr(seen, name) for name in OBSERVED if name not in kept}
    return msgspec.structs.replace(record, **fields, last_device=last_device(record, seen.device))


def last_device(record: DriveRecord, device: str) -> str:
    """Return what is kept of a drive's name when its device is ``device`` from now on: people look for that name."""
    return "" if device else record.device or record.last_device


def decided_alike(record: DriveRecord, seen: DriveRecord) -> bool:
    """Tell whether the drive itself carries the same decisions of people as ``record``."""
    return all(getattr(record, name) == getattr(seen, name) for name in DECIDED)


def check(request: ChangeDrive | ChangeVolume) -> None:
    """Refuse labels that are reserved, or that Kubernetes would not take.

    Raises:
        InvalidRequest: ``field`` names the label.

    Source: Kubernetes, "Labels and Selectors", syntax; upstream's list of reserved keys.
    """
    for key in (*request.set_labels, *request.remove_labels):
        if names.is_reserved(key):
            raise InvalidRequest(f"label {key[:128]!r} is reserved", field=f"labels.{key[:128]}")
        prefix, slash, name = key.rpartition("/")
        if not _NAME.match(name) or (slash and not _PREFIX.match(prefix)):
            raise InvalidRequest(
                f"label {key[:128]!r}: a key is an optional DNS prefix and '/', then at most 63 letters, digits, "
                "'-', '_' or '.', with a letter or digit at both ends",
                field=f"labels.{key[:128]}",
            )
    for key, value in request.set_labels.items():
        if value and not _NAME.match(value):
            raise InvalidRequest(
                f"label {key}: value {value[:128]!r} must be at most 63 letters, digits, '-', '_' or '.', with a "
                "letter or digit at both ends",
                field=f"labels.{key}",
            )


def applied(record: DriveRecord, request: ChangeDrive) -> DriveRecord:
    """Return ``record`` as ``request`` wants it."""
    unschedulable = record.unschedulable if request.unschedulable is None else request.unschedulable
    return msgspec.structs.replace(record, unschedulable=unschedulable, labels=changed(record.labels, request))


def changed(labels: dict[str, str], request: ChangeDrive | ChangeVolume) -> dict[str, str]:
    """Return ``labels`` as ``request`` wants them; one that is both set and removed is set."""
    kept = {key: value for key, value in labels.items() if key not in request.remove_labels}
    return names.with_suspended({**kept, **request.set_labels}, request.suspended)
