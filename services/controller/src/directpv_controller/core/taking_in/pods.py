"""What the labels of a pod say of the volume that it uses.

Source: upstream, NodePublishVolume: every label of the pod in the group ``directpv.min.io`` goes onto the volume, and
stays there when the pod has gone. Upstream takes all of them, so that whoever may create a pod can suspend its volume
or take it from its drive's books; here the keys that decide something are left to those who may change volumes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from directpv_common.crd.labels import is_label
from directpv_common.protocol import names
from directpv_common.protocol.messages import VolumeRecord

PREFIX: Final = f"{names.GROUP}/"
LABELS_AT_MOST: Final = 16
"""Labels of the group on a volume to which a pod may still add one: records of a whole drive travel in one message."""

Pod = tuple[str, str, str]


class Chosen(NamedTuple):
    """What becomes of the labels of a pod."""

    labels: dict[str, str]
    """All labels that the volume has then."""
    ignored: tuple[str, ...]
    """Keys of the group that are not taken, sorted: reserved, malformed, or too many."""


def pod_of(record: VolumeRecord) -> Pod:
    """Return what tells the pod that mounted a volume last from all others: namespace, name, uid."""
    return record.pod_namespace, record.pod_name, record.pod_uid


def chosen(held: dict[str, str], pod: Mapping[str, str]) -> Chosen:
    """Return the labels of a volume that a pod has begun to use.

    Of a key that both have, the pod's value counts, as with upstream: who spoke last is right, person or pod.

    Args:
        held: Labels that the volume has; returned itself when nothing changes.
        pod: All labels of the pod.
    """
    labels, ignored = dict(held), []
    for key, value in sorted(pod.items()):
        if not key.startswith(PREFIX):
            continue
        full = key not in labels and sum(map(_of_group, labels)) >= LABELS_AT_MOST
        if full or names.is_reserved(key) or not is_label(key, value):
            ignored.append(key)
        else:
            labels[key] = value
    return Chosen(held if labels == held else labels, tuple(ignored))


def _of_group(key: str) -> bool:
    return key.startswith(PREFIX) and not names.is_reserved(key)
