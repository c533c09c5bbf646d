"""Which volumes nobody has any more: no PersistentVolume stands for them, or one that its claim has left. Pure.

Source: upstream's ``clean``; its volumes are those without PersistentVolume, or with one that is Released or Failed.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import directpv_common.protocol.messages as m

LEFT: Final = frozenset({"Released", "Failed"})
"""Phases of a PersistentVolume whose claim is gone. Source: Kubernetes, core/v1 PersistentVolumePhase."""
MAKING: Final = timedelta(minutes=10)
"""So long csi-provisioner may need until it has made the PersistentVolume of a volume that it was given."""


class Held(NamedTuple):
    """A PersistentVolume of ours."""

    name: str
    phase: str


def held(items: Iterable[Mapping[str, Any]], driver: str) -> dict[str, list[Held]]:
    """Return the PersistentVolumes that stand for volumes, by the volumes' names; of whatever driver if named alike.

    Args:
        items: All PersistentVolumes of the cluster.
        driver: Ours.
    """
    found: dict[str, list[Held]] = {}
    for item in items:
        csi = (item.get("spec") or {}).get("csi") or {}
        ours = csi.get("driver") == driver
        one = Held(item["metadata"]["name"], (item.get("status") or {}).get("phase", ""))
        for name in {one.name, *([csi["volumeHandle"]] if ours and csi.get("volumeHandle") else [])}:
            found.setdefault(name, []).append(one)
    return found


def why_kept(volume: m.VolumeInfo, standing: Mapping[str, list[Held]] | None, now: datetime) -> str:
    """Return why a volume is kept, in words; empty if nobody has it any more.

    Args:
        volume: The volume.
        standing: What :func:`held` gave; None: there is no cluster that could be asked, and the volume was named.
        now: With a time zone.
    """
    record = volume.record
    if volume.use.staged or volume.use.published:
        return f"it is mounted on node {volume.node}"
    if standing is None:
        if record.pvc_name:
            claim = f"{record.pvc_namespace}/{record.pvc_name}"
            return (
                f"it was made for claim {claim}: give --kubeconfig, so that Kubernetes can be asked whether it is used"
            )
        return ""
    keeping = [each for each in standing.get(record.name, []) if each.phase not in LEFT]
    if keeping:
        return f"PersistentVolume {keeping[0].name} is {keeping[0].phase or 'just being made'}"
    if record.name not in standing and _is_young(record.created, now):
        return f"it was made at {record.created}: its PersistentVolume may just be being made; repeat later"
    return ""


def why_refused(volumes: Iterable[m.VolumeInfo], standing: Mapping[str, list[Held]]) -> str:
    """Return why none of the volumes that a selection found is deleted; empty if they may be.

    Where all volumes of which it is known that they had a PersistentVolume have none, a cluster has lost its own, or
    another cluster was asked.
    """
    had = [volume.record for volume in volumes if volume.record.pv is not None]
    if not had or any(record.name in standing for record in had):
        return ""
    return (
        f"all {len(had)} volumes that had a PersistentVolume have none in this cluster, for instance {had[0].name}: if "
        "the cluster was lost, get them back by `kubectl directpv recover`; if it is the wrong one, give --context. "
        "Name volumes that shall go all the same"
    )


def _is_young(created: str, now: datetime) -> bool:
    try:
        return now - datetime.fromisoformat(created) < MAKING
    except (ValueError, TypeError):  # of a former version, which did not note it
        return False
