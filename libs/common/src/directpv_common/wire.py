"""Messages to bytes and back: orjson writes, msgspec validates what is read."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import orjson

from directpv_common.errors import InvalidRequest

T = TypeVar("T")


def encode(message: object) -> bytes:
    """Return ``message`` as JSON; Structs anywhere inside are allowed."""
    return orjson.dumps(message, default=msgspec.to_builtins)


def encode_pretty(message: object) -> bytes:
    """Return ``message`` as indented JSON, for people and for files on drives."""
    return orjson.dumps(message, default=msgspec.to_builtins, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, kind: type[T]) -> T:
    """Parse ``data`` into a validated ``kind``; unknown fields are ignored.

    Raises:
        InvalidRequest: Not JSON or not a ``kind``; the text points at the field (``$.size``).
    """
    try:
        decoded: T = _decoder(cast(Hashable, kind)).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{kind.__name__}: {error}", field=_path_in(str(error))) from error
    return decoded


def _path_in(text: str) -> str:
    """Return the JSON path that msgspec put between backquotes at the end, or ``$``."""
    _, found, path = text.rpartition(" - at `")
    return path.removesuffix("`") if found else "$"
