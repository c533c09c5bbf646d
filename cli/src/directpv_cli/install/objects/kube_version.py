"""Versions of Kubernetes: as far as objects depend on them."""

import re
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:[.+-].*)?\Z")


class KubeVersion(NamedTuple):
    """Version of Kubernetes, as far as objects depend on it."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST: Final = KubeVersion(1, 24)
"""CSIStorageCapacity is stable from here on."""
NEWEST: Final = KubeVersion(1, 37)


def parse_kube_version(text: str) -> KubeVersion:
    """Return major and minor version of for instance ``1.31``, ``v1.31.2`` or ``1.31.2-eks-1``.

    Raises:
        ValueError: Not a version of Kubernetes 1.
    """
    match = _VERSION.match(text)
    if not match or match[1] != "1":
        raise ValueError(f"--kube-version: {text!r} is no version; use for instance {NEWEST}")
    return KubeVersion(int(match[1]), int(match[2]))
