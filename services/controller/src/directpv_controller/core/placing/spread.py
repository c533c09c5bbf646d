"""Which volumes belong together, and are therefore better on different drives: a preference, never a condition.

A StatefulSet names its claims ``<template>-<set>-<ordinal>``. Claims of one pod share their last two words, claims of
its replicas the word before the ordinal: a template's and a set's own hyphens cannot be told apart, and need not be.
What is named alike by chance is spread too, which costs nothing.

Source: Kubernetes, StatefulSet, ``volumeClaimTemplates``; external-provisioner, ``--extra-create-metadata``.
"""

import re
from typing import Final

from directpv_common.protocol.messages import VolumeRecord

_CLAIM: Final = re.compile(r".+-(?P<set>[^-]+)-(?P<ordinal>[0-9]+)\Z")


def groups_of(claim: str, namespace: str) -> tuple[str, ...]:
    """Return what a claim belongs to, the closest first: its pod, then its set; nothing if its name tells none.

    >>> groups_of("data-2-rustfs-0", "store")
    ('store/rustfs-0', 'store/rustfs')
    >>> groups_of("data", "store")
    ()
    """
    found = _CLAIM.match(claim)
    if found is None:
        return ()
    replicas = f"{namespace}/{found['set']}"
    return f"{replicas}-{found['ordinal']}", replicas


def count(known: dict[str, int], record: VolumeRecord, sign: int) -> None:
    """Add a volume to the numbers of its groups, or take it away; one that is being deleted counts in none."""
    if record.deleting:
        return
    for group in groups_of(record.pvc_name, record.pvc_namespace):
        known[group] = known.get(group, 0) + sign
        if not known[group]:
            del known[group]
