"""What Kubernetes has of what is to be recovered, as it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from directpv_cli.install.objects.base import Object
from directpv_common.crd.persistent_volumes import Claim
from directpv_common.protocol.names import DRIVER_NAME


@dataclass(frozen=True)
class Held:
    """Objects by name."""

    pvs: Mapping[str, Object] = field(default_factory=dict)
    claims: Mapping[Claim, Object] = field(default_factory=dict)
    namespaces: Mapping[str, Object] = field(default_factory=dict)
    classes: Mapping[str, Object] = field(default_factory=dict)
    """StorageClasses of this driver."""
    pods: Mapping[Claim, tuple[str, ...]] = field(default_factory=dict)
    """Pods on a node that use a claim, and have not ended: ``name on node``."""

    def pointing_to(self, volume: str) -> str:
        """Return the PersistentVolume that stands for a volume; empty if there is none."""
        if is_of(self.pvs.get(volume, {}), volume):
            return volume
        return next((name for name, pv in self.pvs.items() if is_of(pv, volume)), "")


def is_of(pv: Object, volume: str) -> bool:
    """Tell whether a PersistentVolume stands for a volume."""
    csi: Mapping[str, Any] = (pv.get("spec") or {}).get("csi") or {}
    return (csi.get("driver"), csi.get("volumeHandle")) == (DRIVER_NAME, volume)
