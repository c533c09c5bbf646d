"""Messages to bytes and back: orjson writes, msgspec validates what is read."""

import zlib
from collections.abc import Hashable
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec
import orjson

from directpv_common.protocol.errors import InvalidRequest, TooLarge

T = TypeVar("T")

PACKED: Final = "Directpv-Encoding"
"""Header that says how a body is packed; absent: it is not."""
ACCEPTS: Final = "Directpv-Accept-Encoding"
"""Header that says how a reply may be packed."""
DEFLATE: Final = "deflate"
"""RFC 1950."""
_PACK_FROM: Final = 256 * 1024
"""Bytes: smaller ones cost more time to pack than to send."""
_UNPACKED_AT_MOST: Final = 64 * 1024 * 1024


def encode(message: object) -> bytes:
    """Return ``message`` as JSON; Structs anywhere inside are allowed. What is no Unicode is shown as such."""
    return _dumps(message, 0)


def encode_pretty(message: object) -> bytes:
    """Return ``message`` as indented JSON, for people and for files on drives."""
    return _dumps(message, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _dumps(message: object, options: int) -> bytes:
    try:
        return orjson.dumps(message, default=msgspec.to_builtins, option=options)
    except orjson.JSONEncodeError:
        # A path or the name of a model need not be UTF-8: one such word must not silence a node.
        return orjson.dumps(_readable(msgspec.to_builtins(message)), option=options)


def _readable(value: Any) -> Any:
    """Return ``value`` with U+FFFD for each byte that is no UTF-8, and text for numbers of more than 64 bits."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(each) for each in value]
    return value


def pack(data: bytes, headers: dict[str, str]) -> bytes:
    """Return ``data`` as it is sent, packed if that is worth it; ``headers`` tell so then."""
    if len(data) < _PACK_FROM:
        return data
    headers[PACKED] = DEFLATE
    return zlib.compress(data, 1)


def unpack(data: bytes, headers: dict[str, str] | None) -> bytes:
    """Return what the sender packed.

    Raises:
        InvalidRequest: It is packed in a way that is not known, or damaged.
        TooLarge: It is larger than anything that is sent.
    """
    how = (headers or {}).get(PACKED)
    if how is None:
        return data
    if how != DEFLATE:
        raise InvalidRequest(f"header {PACKED}: {how[:40]!r} is not known; send it as it is", field=PACKED)
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(data, _UNPACKED_AT_MOST)
    except zlib.error as error:
        raise InvalidRequest(f"header {PACKED}: the body is not {how}: {error}", field=PACKED) from error
    if inflate.unconsumed_tail:
        raise TooLarge(f"a message has more than {_UNPACKED_AT_MOST} bytes")
    return plain


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
