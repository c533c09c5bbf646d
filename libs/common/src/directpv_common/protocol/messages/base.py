"""Types that all messages are built of. Bounds stand where the field stands and are checked on decode."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from directpv_common.protocol.epochs import EPOCH_AT_MOST

MAX_INT64: Final = 2**63 - 1

Size = Annotated[int, Meta(gt=0, le=MAX_INT64)]
"""Bytes, at least one; int64 as in CSI's CapacityRange."""
Bytes = Annotated[int, Meta(ge=0, le=MAX_INT64)]
"""Bytes, zero allowed."""
Count = Annotated[int, Meta(ge=0)]
PageLimit = Annotated[int, Meta(ge=0)]
"""At most so many on a page; 0 means the server's page size (1,000)."""

VOLUME_NAME_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?\Z"
VolumeName = Annotated[str, Meta(pattern=VOLUME_NAME_PATTERN)]
"""Volume id and name of its directory: one path component, 128 characters at most (CSI: size limit of ``name``)."""
FSUUID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"
FsUuid = Annotated[str, Meta(pattern=FSUUID_PATTERN)]
"""Drive id: the UUID of its XFS, lower case."""
FSUUID_OR_EMPTY: Final = r"^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?\Z"
MoveId = Annotated[str, Meta(pattern=r"^[0-9a-f]{0,32}\Z")]
"""Made at random with each move."""
NodeName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")]
"""DNS-1123 subdomain, as Kubernetes names nodes."""
AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00]*\Z", max_length=4096)]
"""Absolute, no NUL; whether it stays where it should is checked where it is used."""
INCARNATION_PATTERN: Final = r"^[0-9a-f]{0,64}\Z"
Incarnation = Annotated[str, Meta(pattern=INCARNATION_PATTERN)]
"""Tells volumes of one name apart that were made one after another; made at random with the volume."""
Segments = dict[str, str]
"""One CSI Topology, for instance ``{"directpv.min.io/node": "n1"}``."""
Timestamp = str
"""RFC 3339, UTC, for instance ``2026-11-22T10:00:00Z``."""

_VOLUME_NAME: Final = re.compile(VOLUME_NAME_PATTERN)


def is_volume_name(name: str) -> bool:
    """Tell whether ``name`` may be a volume id, and hence a directory on a drive.

    ``*.deleted`` is refused too: volumes that are being purged are called so.
    """
    return _VOLUME_NAME.match(name) is not None and not name.endswith(".deleted")


class Message(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Base of all messages. Unknown fields are ignored, so that versions may differ by one during an upgrade."""


class Filters(Message, frozen=True, kw_only=True):
    """Ask for objects page by page; every filter that is given must hold, an empty one always does."""

    nodes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Kernel names of drives."""


class Done(Message, frozen=True, kw_only=True):
    """The work is done, and durable; there is nothing to tell."""


class Fence(Message, frozen=True, kw_only=True):
    """Who gives an order to a node: the leader of ``registry`` in its ``epoch``.

    A node refuses an epoch of the same registry that is lower than one it has seen.
    """

    registry: str
    epoch: Annotated[int, Meta(ge=0, le=EPOCH_AT_MOST)]
