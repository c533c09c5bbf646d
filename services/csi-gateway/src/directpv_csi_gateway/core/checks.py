"""Checks of single fields. Each names the field and the fix, and returns the value as the bus takes it.

Bounds: CSI 1.13 specification, "Size Limits" (128 bytes per string, 4 KiB per map), and Linux for paths.
"""

from collections.abc import Mapping
from typing import Final

from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import is_volume_name
from directpv_common.protocol.units import KIB

NAME_BYTES: Final = 128
MAP_BYTES: Final = 4 * KIB
PATH_BYTES: Final = 4095
"""PATH_MAX of Linux, without the NUL at its end."""
COMPONENT_BYTES: Final = 255
SHOWN: Final = 40
VOLUME_NAME_RULE: Final = (
    f"use 1 to {NAME_BYTES} letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, "
    "and not ending in '.deleted'"
)


def refused(field: str, why: str) -> InvalidRequest:
    """Return the error that names ``field`` and says what is wrong and what to do."""
    return InvalidRequest(f"{field}: {why}", field=field)


def shown(value: str) -> str:
    """Return ``value`` fit for a message: escaped to ASCII, and shortened with its length in characters.

    >>> shown("a/../b")
    "'a/../b'"
    """
    return ascii(value) if len(value) <= SHOWN else f"{value[:SHOWN]!a}… ({len(value)} characters)"


def volume_name(field: str, value: str) -> str:
    """Return the name or id of a volume.

    Raises:
        InvalidRequest: Missing, or nothing that a volume can be called; so it cannot lead out of its directory.
    """
    if not value:
        raise refused(field, "missing; name the volume")
    if not is_volume_name(value):
        raise refused(field, f"{shown(value)} cannot name a volume; {VOLUME_NAME_RULE}")
    return value


def text(field: str, value: str, limit: int = NAME_BYTES) -> str:
    """Return a text that goes into records, logs and tables.

    Raises:
        InvalidRequest: More than ``limit`` bytes, or a control character in it.
    """
    if len(value.encode()) > limit:
        raise refused(field, f"{shown(value)} is longer than {limit} bytes; shorten it")
    if not value.isprintable():
        raise refused(field, f"{shown(value)} holds a control character; remove it")
    return value


def mapping(field: str, value: Mapping[str, str]) -> dict[str, str]:
    """Return a map such as the parameters of a storage class.

    Raises:
        InvalidRequest: Larger than 4 KiB in all, an empty key, or a control character.
    """
    found = dict(value)
    whole = "".join((*found, *found.values()))
    if whole.isprintable() and len(whole.encode()) <= MAP_BYTES and "" not in found:
        return found
    size = 0
    for key, item in found.items():
        size += len(key.encode()) + len(item.encode())
        if not key:
            raise refused(field, "has an empty key; remove it")
        if not (key.isprintable() and item.isprintable()):
            raise refused(f"{field}[{shown(key)}]", "holds a control character; remove it")
    raise refused(field, f"{size} bytes of keys and values; {MAP_BYTES} at most")


def path(field: str, value: str) -> str:
    """Return an absolute path without ``.``, empty components or a slash at the end.

    Raises:
        InvalidRequest: Missing, relative, the root itself, too long, or with ``..``, NUL or a control character.
    """
    if not value:
        raise refused(field, "missing; give an absolute path")
    if not value.startswith("/"):
        raise refused(field, f"{shown(value)} is not absolute; give a path that begins with '/'")
    if not value.isprintable():
        raise refused(field, f"{shown(value)} holds NUL or another control character; remove it")
    if len(value.encode()) > PATH_BYTES:
        raise refused(field, f"{shown(value)} is longer than {PATH_BYTES} bytes; use a shorter path")
    return f"/{'/'.join(_components(field, value))}"


def _components(field: str, value: str) -> list[str]:
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused(field, f"{shown(value)} holds '..'; give the path without it")
    if not parts:
        raise refused(field, "is the root directory; give a path below it")
    if any(len(part.encode()) > COMPONENT_BYTES for part in parts):
        raise refused(field, f"a component is longer than {COMPONENT_BYTES} bytes; use a shorter name")
    return parts


def sizes(field: str, required: int, limit: int) -> tuple[int, int]:
    """Return ``required`` and ``limit`` of a CapacityRange in bytes; 0 means no bound.

    Raises:
        InvalidRequest: Negative, none of both, or a limit below what is required.
    """
    for name, value in (("required_bytes", required), ("limit_bytes", limit)):
        if value < 0:
            raise refused(f"{field}.{name}", f"{value} is negative; give a number of bytes")
    if not (required or limit):
        raise refused(field, "is empty; set required_bytes, limit_bytes or both, or leave it out")
    if limit and limit < required:
        raise refused(f"{field}.limit_bytes", f"{limit} is below required_bytes {required}; raise it or leave it out")
    return required, limit
