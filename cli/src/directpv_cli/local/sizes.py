"""Sizes of volumes as people write them: Kubernetes' quantities, and the longer words for units beside them. Pure.

Source: Kubernetes, ``apimachinery/pkg/api/resource``, Quantity.
"""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

from directpv_common.protocol.units import MIB, format_bytes, parse_bytes

SMALLEST: Final = MIB
"""In less there is hardly room for a directory."""
LARGEST: Final = 2**63 - 1
"""CSI's numbers end there."""
_EXPONENT: Final = re.compile(r"\d+(?:\.\d+)?[eE][+-]?\d{1,2}\Z", re.ASCII)
_THOUSANDTHS: Final = re.compile(r"(\d+(?:\.\d+)?)m\Z", re.ASCII)


def volume_size(text: str) -> int:
    """Read the size of a volume, in bytes, from the value of ``--size``.

    Raises:
        ValueError: It is none, or one that no volume has; says so of the flag, and what to write.

    >>> volume_size("1.5GiB"), volume_size("1G"), volume_size("64Mi"), volume_size("2e6")
    (1610612736, 1000000000, 67108864, 2000000)
    """
    try:
        size = _bytes_of(text.strip())
    except ValueError as error:
        raise ValueError(f"--size: {error}") from None
    if size < SMALLEST:
        raise ValueError(f"--size: {text} is less than a volume can have; the smallest is {format_bytes(SMALLEST)}")
    if size > LARGEST:
        raise ValueError(f"--size: {text} is more than any volume can have; the largest is {format_bytes(LARGEST)}")
    return size


def _bytes_of(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(f"{text} is negative; write for instance 64MiB, 2Gi or 1.5G")
    if _EXPONENT.match(text):
        return int(Decimal(text).to_integral_value(ROUND_CEILING))
    if found := _THOUSANDTHS.match(text):
        number = found[1]
        raise ValueError(f"{text} is in thousandths of a byte, as m is in Kubernetes; write {number}M or {number}Mi")
    return parse_bytes(text)
