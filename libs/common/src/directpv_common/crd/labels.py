"""Label values, object names and finalizers for whatever people and kernels call their things.

Kubernetes takes 63 characters of ``[A-Za-z0-9._-]`` as a label's value. What does not fit is stored in upstream's
shortened form, which its tools select by, and in full in our annotation.
"""

import hashlib
import re
from typing import Final

from directpv_common.protocol import names

LABEL_MAX: Final = 63
VOLUME_FINALIZER: Final = f"{names.GROUP}.volume/"

_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


def is_label(key: str, value: str) -> bool:
    """Tell whether Kubernetes takes ``key: value`` as a label. Source: "Labels and Selectors", syntax."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        return False
    return _NAME.match(name) is not None and is_label_value(value)


def is_label_value(value: str) -> bool:
    """Tell whether Kubernetes takes ``value`` as a label's value."""
    return _VALUE.match(value) is not None


def label_value(text: str) -> str:
    """Return ``text`` if it is a label's value, else upstream's form of it.

    >>> label_value("cciss/c0d0")
    'cciss-c0d0'

    Source: upstream, which cuts at 63 characters and replaces all that are no letter or digit.
    """
    if is_label_value(text):
        return text
    short = [_replaced(letter, first=not index) for index, letter in enumerate(text[:LABEL_MAX])]
    short[-1] = short[-1].replace("-", "x")  # Kubernetes takes none at the end
    return "".join(short)


def _replaced(letter: str, *, first: bool) -> str:
    if letter.isascii() and letter.isalnum():
        return letter
    return "x" if first or letter in "._-" else "-"


def restored(label: str, full: str) -> str:
    """Return what a label stands for: ``full``, unless somebody has changed the label since."""
    return full if full and label_value(full) == label else label


def object_name(volume: str) -> str:
    """Return the name of a volume's object: its own, unless Kubernetes does not take it as a name."""
    return volume if len(volume) <= 253 and _SUBDOMAIN.match(volume) else _alias(volume)


def volume_finalizer(volume: str) -> str:
    """Return the finalizer by which a drive says that it holds ``volume``. Source: upstream's DirectPVDrive."""
    return f"{VOLUME_FINALIZER}{volume if _NAME.match(volume) else _alias(volume)}"


def _alias(volume: str) -> str:
    return f"volume-{hashlib.sha256(volume.encode()).hexdigest()[:40]}"
