"""What an API server's refusals, and its silence, mean in our tree of errors."""

import contextlib
from collections.abc import Iterator
from typing import Final

import aiohttp
import orjson

from directpv_common.protocol.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    InvalidToken,
    NotFound,
    Unavailable,
)

LONGEST_RETRY_AFTER: Final = 5.0


class Stale(Conflict):
    """The object was changed since it was read: nothing was written (409 Conflict)."""


class Exists(Conflict):
    """There is an object of this name already: nothing was written (409 AlreadyExists)."""


class Missing(NotFound):
    """There is no such object (404)."""


class Expired(InvalidToken):
    """A resource version or a continuation is too old: list again (410)."""


class Refused(FailedPrecondition):
    """The API server will not do this, however often it is asked; says why."""


class Unsent(Unavailable):
    """Certainly not done: no connection, or the server is too busy (429)."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds after which the server wants to be asked again."""


class Unclear(Unavailable):
    """It may or may not have been done: no answer in time, or a server's error."""


@contextlib.contextmanager
def ours(what: str) -> Iterator[None]:
    """Turn the errors of the HTTP client into ours."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unsent(f"{what}: the API server cannot be reached: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
        raise Unclear(f"{what}: {str(error) or type(error).__name__}") from error


def error_of(reply: aiohttp.ClientResponse, body: bytes, what: str) -> Exception:
    """Return what a refusal means. Source: Kubernetes API conventions, "Response Status Kind"."""
    reason, message = _status(body)
    text = f"{what}: {reply.status} {message or reply.reason}"
    if reply.status == 409:
        return Exists(text) if reason == "AlreadyExists" else Stale(text)
    if reply.status == 429:
        return Unsent(text, _seconds(reply.headers.get("Retry-After", "")))
    if reply.status >= 500:
        return Unclear(text)
    return {404: Missing, 410: Expired, 400: InvalidRequest}.get(reply.status, Refused)(text)


def _status(body: bytes) -> tuple[str, str]:
    try:
        status = orjson.loads(body)
        return str(status.get("reason", "")), str(status.get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return "", body[:200].decode(errors="replace")


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_RETRY_AFTER) if text.isascii() and text.isdigit() else 1.0
