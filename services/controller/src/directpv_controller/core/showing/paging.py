"""Pages of whatever has ordered keys, with tokens that stay valid when things change in between."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from directpv_common.protocol.errors import InvalidToken
from directpv_common.protocol.wire import encode

T = TypeVar("T")

PAGE: Final = 1_000
PAGE_BYTES: Final = 700_000
"""The bus carries a mebibyte; a page that would be larger ends earlier."""
LOOK_AT_MOST: Final = 10_000
"""A page ends, possibly empty, when so many objects were looked at, in some milliseconds: filters must not stop the
leader."""


def page(keys: Iterable[str], show: Callable[[str], T | None], limit: int) -> tuple[tuple[T, ...], str]:
    """Return shown objects and the last key looked at, empty if there are no more.

    Args:
        keys: In order, after the last key of the page before.
        show: Returns what is shown of a key; None: filters leave it out.
        limit: At most so many objects; 0: :data:`PAGE`.
    """
    found: list[T] = []
    size, last = 0, ""
    for looked, key in enumerate(keys):
        if len(found) >= min(limit or PAGE, PAGE) or looked >= LOOK_AT_MOST:
            return tuple(found), last
        shown = show(key)
        if shown is not None:
            size += len(encode(shown))
            if found and size > PAGE_BYTES:
                return tuple(found), last
            found.append(shown)
        last = key
    return tuple(found), ""


def token(kind: str, last: str) -> str:
    """Return the token of the page after ``last``; empty if there is none. ``kind``: one letter for what is listed."""
    return base64.urlsafe_b64encode(f"{kind}1:{last}".encode()).decode() if last else ""


def after(token: str, kind: str) -> str:
    """Return the key after which the page begins; empty for the first page.

    Raises:
        InvalidToken: ``token`` was not handed out for this ``kind``.
    """
    if not token:
        return ""
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(f"{kind}1:") or len(text) == len(f"{kind}1:"):
        raise InvalidToken(
            f"starting_token {token[:64]!r} was not handed out here; begin without one", field="starting_token"
        )
    return text.removeprefix(f"{kind}1:")
