"""The shape of an event. Source: CloudEvents 1.0 specification, JSON format, section 3.1."""

from typing import Any, Final

import msgspec

TYPE_PREFIX: Final = "io.min.directpv."


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event; ``type`` is ``io.min.directpv.<noun>.<kind>``, ``subject`` the id of the drive or volume."""

    specversion: str = msgspec.field(default_factory=lambda: "1.0")
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = msgspec.field(default_factory=lambda: "application/json")
    traceparent: str = ""
    data: dict[str, Any] = {}
