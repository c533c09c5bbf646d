"""Which claims people name for volumes: ``VOLUME=NAMESPACE/NAME``. Pure; what is wrong is a ValueError that says so."""

import re
from typing import Final

from directpv_cli.reading.words import Words
from directpv_common.crd.persistent_volumes import Claim
from directpv_common.protocol.messages import is_volume_name

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


def claims_of_volumes(words: Words) -> dict[str, Claim]:
    """Return the claim that each word names, by volume.

    Raises:
        ValueError: A word cannot be understood, or names a volume or a claim for the second time.
    """
    found: dict[str, Claim] = {}
    for word in words or ():
        volume, _, claim = word.partition("=")
        namespace, _, name = claim.partition("/")
        if not (is_volume_name(volume) and _NAMESPACE.match(namespace) and _NAME.match(name)):
            raise ValueError(f"--claim: {word!r}; write VOLUME=NAMESPACE/NAME, as in pvc-1=shop/data-0")
        if volume in found or Claim(namespace, name) in found.values():
            raise ValueError(f"--claim: {word!r} names a volume or a claim that another --claim names")
        found[volume] = Claim(namespace, name)
    return found
