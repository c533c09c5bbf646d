"""Which of our events people see on the object itself, as an Event of Kubernetes.

Those that say what became of somebody's own change. What happens by itself all day (a volume made, a pod mounted) is in
the stream of events and in metrics: an Event for each would cost as many writes as the volumes themselves.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Announcement(NamedTuple):
    """One line of ``kubectl describe``."""

    noun: str
    """``drive``, ``volume``, or ``claim``: that to which the volume belongs."""
    name: str
    reason: str
    """CamelCase, as ``kubectl get events`` shows it."""
    warning: bool
    message: str

    @property
    def about_claim(self) -> bool:
        """Whether it is shown on the volume's claim."""
        return self.noun == CLAIM


CLAIM: Final = "claim"


class _Form(NamedTuple):
    reason: str
    warning: bool
    text: str
    """Filled with the event's data."""
    noun: str = ""
    """Of the object that it is shown on; empty: the event's own."""


_PUT_BACK: Final = "{why}"
_FORMS: Final[Mapping[str, _Form]] = {
    "drive.edit-refused": _Form("EditRefused", True, _PUT_BACK),
    "volume.edit-refused": _Form("EditRefused", True, _PUT_BACK),
    "drive.remove-requested": _Form("RemoveRequested", True, _PUT_BACK),
    "drive.recreated": _Form(
        "Recreated", True, "the object was deleted, but its drive is there: it was made again, cordoned"
    ),
    "volume.recreated": _Form("Recreated", True, "the object was deleted, but its volume is there: it was made again"),
    "drive.unreadable": _Form("Unreadable", True, _PUT_BACK),
    "volume.unreadable": _Form("Unreadable", True, _PUT_BACK),
    "drive.epoch-ignored": _Form("EpochIgnored", True, _PUT_BACK),
    "volume.epoch-ignored": _Form("EpochIgnored", True, _PUT_BACK),
    "drive.not-reconciled": _Form("NotReconciled", True, "{cause}"),
    "volume.conflict": _Form(
        "VolumeConflict", True, "a volume of this name, or one that does not fit, is claimed for drive {drive}"
    ),
    "volume.oversized": _Form("VolumeOversized", True, "{capacity} bytes are promised, but its drive has not so much"),
    "volume.adopted": _Form("VolumeAdopted", False, "found on drive {drive} with {capacity} bytes, and taken in"),
    "volume.raised": _Form("VolumeExpanded", False, "has {capacity} bytes on its drive, which are reserved now"),
    "volume.given-up": _Form("VolumeGivenUp", True, "{cause}; {advice}", CLAIM),
    "drive.removing": _Form("Removing", False, "it is taken out of use: node {node} is told to let go of it"),
    "drive.remove-refused": _Form("RemoveRefused", True, "it is kept: {why}"),
    "volume.labels-ignored": _Form("LabelsIgnored", True, "labels of its pod use reserved keys and are ignored"),
}


class _Data(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def announcement(kind: str, subject: str, data: Mapping[str, Any]) -> Announcement | None:
    """Return what people should see of an event; None: nothing.

    Args:
        kind: ``<noun>.<kind>``, for instance ``drive.edit-refused``.
        subject: Id of the drive or name of the volume.
        data: What the event says.

    >>> announcement("drive.recreated", "d1", {}).reason
    'Recreated'
    >>> announcement("volume.created", "pvc-1", {})
    """
    form = _FORMS.get(kind)
    if form is None:
        return None
    message = form.text.format_map(_Data({key: str(value) for key, value in data.items()}))
    return Announcement(form.noun or kind.partition(".")[0], subject, form.reason, form.warning, message)
