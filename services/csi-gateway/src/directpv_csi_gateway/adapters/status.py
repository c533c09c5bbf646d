"""Errors to gRPC status: the codes of the errors' own table; nothing else leaves the process."""

from typing import Final

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from directpv_common.protocol.errors import DeadlineExceeded, DirectPVError, Internal, InvalidRequest

MESSAGE_CHARACTERS: Final = 1500
"""gRPC clients refuse trailers of more than 8 KiB, and an escaped character takes up to nine bytes."""


def as_ours(error: Exception) -> DirectPVError:
    """Return ``error`` as one that a caller may see.

    The text of an unforeseen one stays in the log. A time limit that was hit somewhere inside is not the
    caller's own, yet means the same: the outcome is unknown, and repeating is safe.
    """
    if isinstance(error, DirectPVError):
        return error
    if isinstance(error, DecodeError):
        return InvalidRequest("the request is not a message of this method; check the client's CSI version")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("no answer in time; whether the work was done is unknown, it is safe to repeat")
    return Internal("internal error; the log of the CSI gateway has the details")


def as_grpc(error: DirectPVError) -> GRPCError:
    """Return the status that the caller gets."""
    message = error.message
    if len(message) > MESSAGE_CHARACTERS:
        message = f"{message[:MESSAGE_CHARACTERS]}…"
    return GRPCError(Status[error.codes.grpc], message)
