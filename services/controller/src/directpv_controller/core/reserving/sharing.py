"""What many records of a registry have in common is one object in memory; half of it would be repetitions otherwise.

Records are never changed, so nobody notices. Used while a registry is read: what is replaced is freed at once then, and
its place taken by the next record.
"""

from typing import Any, Final, TypeVar

from msgspec.structs import force_setattr

from directpv_common.protocol.messages import DriveRecord, VolumeRecord

T = TypeVar("T")

_NOTHING: Final[dict[str, str]] = {}
"""Of all records without parameters or labels."""


class Shared:
    """Of one reading of a registry."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def _one(self, value: T) -> T:
        one: T = self._known.setdefault(value, value)
        return one

    def drive(self, record: DriveRecord) -> None:
        """Let the drive share with those before it: its node, place and model are those of its neighbours, too."""
        for field in ("node", "device", "make", "created", "total", "overhead"):
            force_setattr(record, field, self._one(getattr(record, field)))
        self._one(record.fsuuid)
        for field in ("topology", "labels"):
            pairs: dict[str, str] = getattr(record, field)
            key = (field, *sorted(pairs.items()))
            if key not in self._known:
                self._known[key] = {self._one(name): self._one(value) for name, value in pairs.items()}
            force_setattr(record, field, self._known[key])

    def volume(self, record: VolumeRecord) -> None:
        """Let the volume share with those before it; what is its own stays so."""
        one = self._known.setdefault
        force_setattr(record, "fsuuid", one(record.fsuuid, record.fsuuid))
        force_setattr(record, "pvc_namespace", one(record.pvc_namespace, record.pvc_namespace))
        if record.pv is not None:
            force_setattr(record, "pv", one(record.pv, record.pv))
        if not record.parameters:
            force_setattr(record, "parameters", _NOTHING)
        if not record.labels:
            force_setattr(record, "labels", _NOTHING)
