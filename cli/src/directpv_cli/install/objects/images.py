"""Which images the pods run.

Source: releases of the Kubernetes CSI sidecars (registry.k8s.io/sig-storage holds them for amd64, arm64, ppc64le and
s390x); the Red Hat catalogue for OpenShift 4.15.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from directpv_common import __version__

REGISTRY: Final = "quay.io"
ORG: Final = "minio"
IMAGE: Final = f"directpv:v{__version__}"
SIDECAR_HOME: Final = "registry.k8s.io/sig-storage"
SIDECARS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "csi-provisioner": "v6.3.0",
        "csi-resizer": "v2.3.0",
        "csi-node-driver-registrar": "v2.16.0",
        "livenessprobe": "v2.18.0",
    }
)
"""The official sidecars and their versions; provisioner and resizer as tests/e2e/sidecars pins them."""
OPENSHIFT_SIDECARS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "csi-provisioner": "registry.redhat.io/openshift4/ose-csi-external-provisioner-rhel8:v4.15",
        "csi-resizer": "registry.redhat.io/openshift4/ose-csi-external-resizer-rhel8:v4.15",
        "csi-node-driver-registrar": "registry.redhat.io/openshift4/ose-csi-node-driver-registrar-rhel8:v4.15",
        "livenessprobe": "registry.redhat.io/openshift4/ose-csi-livenessprobe-rhel8:v4.15",
    }
)

_REFERENCE: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9._/:]*(@sha256:[0-9a-f]{64})?\Z")
"""Loose: the container runtime has the last word. Keeps out what would break YAML or a shell."""


@dataclass(frozen=True)
class Images:
    """The images of one installation, complete."""

    driver: str = f"{REGISTRY}/{ORG}/{IMAGE}"
    sidecars: Mapping[str, str] = field(
        default_factory=lambda: {name: f"{SIDECAR_HOME}/{name}:{version}" for name, version in SIDECARS.items()}
    )

    @property
    def tag(self) -> str:
        """Tag of the driver's image, for the annotation; ``dev`` if it has none."""
        return image_tag(self.driver)


def image_tag(image: str) -> str:
    """Return the tag of ``image``, ``dev`` without one.

    >>> image_tag("localhost:5000/a/directpv:v1"), image_tag("localhost:5000/a/directpv")
    ('v1', 'dev')
    """
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or "dev"


def resolve(
    registry: str = "", org: str = "", image: str = "", *, overrides: Mapping[str, str], openshift: bool = False
) -> Images:
    """Return the images that the flags ask for.

    Without ``registry`` and ``org``, sidecars are the official ones (Red Hat's on OpenShift). With either, all images
    come from there, as in a cluster without internet. ``overrides`` names the whole image of a sidecar.

    Raises:
        ValueError: Not an image; names the flag.
    """
    home = f"{registry or REGISTRY}/{org or ORG}"
    sidecars = {name: f"{SIDECAR_HOME}/{name}:{version}" for name, version in SIDECARS.items()}
    if openshift:
        sidecars = dict(OPENSHIFT_SIDECARS)
    elif registry or org:
        sidecars = {name: f"{home}/{name}:{version}" for name, version in SIDECARS.items()}
    images = Images(f"{home}/{image or IMAGE}", {**sidecars, **overrides})
    _check("--registry, --org, --image", images.driver)
    for name, reference in overrides.items():
        if name not in SIDECARS:
            raise ValueError(f"--sidecar-image: {name!r} is no sidecar; use one of {', '.join(SIDECARS)}")
        _check(f"--sidecar-image {name}", reference)
    return images


def _check(flag: str, reference: str) -> None:
    if not _REFERENCE.match(reference) or "//" in reference:
        raise ValueError(f"{flag}: {reference!r} is no image; use REGISTRY/ORG/NAME:TAG or NAME@sha256:DIGEST")
