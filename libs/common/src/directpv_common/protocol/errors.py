"""Every way in which DirectPV refuses, in one tree, with one table to the codes of other worlds.

    DirectPVError
    ├── InvalidRequest        can never succeed as asked
    ├── NotFound              drive, volume, node or device unknown
    ├── Conflict              exists with other properties
    ├── NoCapacity            no drive can hold it now
    ├── OutOfRange            the size asked cannot be had on this drive
    ├── FailedPrecondition    the state of the system forbids it; the text says what to do first
    ├── Busy                  the same object is being worked on
    ├── TooLarge              what is asked or answered does not fit into one message
    ├── InvalidToken          a paging token that is not ours, or too old
    ├── Unavailable           a peer did not answer, or nobody leads
    ├── DeadlineExceeded      the caller's time is over; the outcome is unknown
    ├── DriveFault            disk or file system misbehaved
    ├── Fenced                whoever gave the order leads no longer
    └── Internal              a bug, or a failure that nobody foresaw

An error crosses the wire as :class:`Failure` and is an error again on the other side.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

MOUNTED: Final = "mounted"
"""Detail of a node's refusal to destroy a volume: whether it is mounted there. Former versions do not say."""
IS_MOUNTED: Final = "yes"
NOT_MOUNTED: Final = "no"


class DirectPVError(Exception):
    """Base of all errors that may cross the wire.

    Args:
        message: For a person: names the field or object, and says what to do.
        details: Machine-readable facts, for instance ``{"field": "capacity_range.limit_bytes"}``.
    """

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def reason(self) -> str:
        """Stable CamelCase name: of this class, or of the nearest ancestor in the table."""
        return _nearest(type(self)).__name__

    @property
    def codes(self) -> "Codes":
        """HTTP-like and gRPC code, and whether repeating the same call can help."""
        return CODES[_nearest(type(self))]

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later, without anybody changing it."""
        return self.codes.retryable

    def as_failure(self) -> "Failure":
        """Return what goes over the wire."""
        return Failure(code=self.codes.http, reason=self.reason, message=self.message, details=self.details)


class InvalidRequest(DirectPVError):
    """The request can never succeed as asked; ``field`` in the details names the culprit."""


class NotFound(DirectPVError):
    """A drive, volume, node or device is unknown."""


class Conflict(DirectPVError):
    """The object exists with other properties."""


class NoCapacity(DirectPVError):
    """No drive can hold the volume now; the text gives a reason per group of drives."""


class OutOfRange(DirectPVError):
    """The size asked cannot be had on the drive that holds the volume."""


class FailedPrecondition(DirectPVError):
    """The system is in a state that forbids the call; the text says what to do first."""


class Busy(DirectPVError):
    """Another call works on the same object."""


class TooLarge(DirectPVError):
    """A request, or what would answer it, does not fit into one message of the bus: ask for less at a time."""


class InvalidToken(DirectPVError):
    """A ``starting_token`` that was not handed out, or is too old (CSI: ABORTED)."""


class Unavailable(DirectPVError):
    """A peer did not answer, or nobody leads at the moment."""


class Refused(Unavailable):
    """A peer does not know us, or not any more; somebody must give us a key that it knows."""


class DeadlineExceeded(DirectPVError):
    """The caller's time is over; whether the work was done is unknown, repeating is safe."""


class DriveFault(DirectPVError):
    """The disk or its file system misbehaved; other drives are unaffected."""


class Fenced(DirectPVError):
    """The order came from a leader that was replaced; nothing was done."""


class Internal(DirectPVError):
    """A bug, or a failure that nobody foresaw; the log of the service has the traceback."""


class Codes(NamedTuple):
    """What one error is called in other worlds."""

    http: int
    """``Nats-Service-Error-Code`` header."""
    grpc: str
    """Name in ``google.rpc.Code``, as the CSI specification uses it."""
    retryable: bool = False


CODES: Final[Mapping[type[DirectPVError], Codes]] = MappingProxyType(
    {
        InvalidRequest: Codes(400, "INVALID_ARGUMENT"),
        NotFound: Codes(404, "NOT_FOUND"),
        Conflict: Codes(409, "ALREADY_EXISTS"),
        NoCapacity: Codes(507, "RESOURCE_EXHAUSTED", retryable=True),
        OutOfRange: Codes(416, "OUT_OF_RANGE"),
        FailedPrecondition: Codes(412, "FAILED_PRECONDITION"),
        Busy: Codes(423, "ABORTED", retryable=True),
        TooLarge: Codes(413, "RESOURCE_EXHAUSTED"),
        InvalidToken: Codes(410, "ABORTED"),
        Unavailable: Codes(503, "UNAVAILABLE", retryable=True),
        DeadlineExceeded: Codes(504, "DEADLINE_EXCEEDED", retryable=True),
        DriveFault: Codes(500, "INTERNAL"),
        Fenced: Codes(403, "UNAVAILABLE", retryable=True),
        Internal: Codes(500, "INTERNAL"),
    }
)
"""The one table from reasons to codes."""


def _nearest(kind: type[DirectPVError]) -> type[DirectPVError]:
    """Return ``kind``, or its nearest ancestor in the table."""
    return next(base for base in kind.__mro__ if base in CODES)


_BY_REASON: Final = MappingProxyType({kind.__name__: kind for kind in CODES})


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error on the wire: the body of a reply that has the service error headers."""

    code: int
    reason: str
    message: str
    details: dict[str, str] = {}

    def as_error(self) -> DirectPVError:
        """Return the error again; a reason that this version does not know becomes :class:`Internal`."""
        kind = _BY_REASON.get(self.reason)
        if kind is None:
            return Internal(f"{self.reason}: {self.message}", **self.details)
        return kind(self.message, **self.details)
