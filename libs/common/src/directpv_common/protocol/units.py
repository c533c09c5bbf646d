"""Bytes for people."""

import re
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL: Final = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_BINARY: Final = {"ki": KIB, "mi": MIB, "gi": GIB, "ti": TIB, "pi": 1024 * TIB, "ei": 1024 * 1024 * TIB}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\Z", re.ASCII)


def format_bytes(size: int) -> str:
    """Return ``size`` in the largest binary unit that keeps it at 1 or more, two decimals at most.

    >>> format_bytes(1127428916)
    '1.05 GiB'
    >>> format_bytes(536870912)
    '512 MiB'
    """
    if size < 0:
        return f"-{format_bytes(-size)}"
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    whole, rest = divmod(size, 1024**power)
    decimals = f"{rest * 100 // 1024**power:02d}".rstrip("0")
    return f"{whole}{'.' + decimals if decimals else ''} {_UNITS[power]}"


def parse_bytes(text: str) -> int:
    """Read a size such as ``512MiB``, ``10Gi``, ``1.5 TB`` or ``4096``.

    Raises:
        ValueError: Not a number with a unit; the text shows accepted forms.
    """
    match = _SIZE.match(text.strip())
    unit = match[2].lower() if match else ""
    factor = _BINARY.get(unit.removesuffix("b")) or _DECIMAL.get(unit.removesuffix("b"))
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a size; write for instance 512MiB, 10Gi, 1.5TB or 4096")
    whole, _, part = match[1].partition(".")
    scale: int = 10 ** len(part)
    return int(whole + part) * factor // scale
