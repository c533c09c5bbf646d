"""Which volumes belong together, and are therefore better on different drives: a preference, never a condition.

A StatefulSet names its claims ``<template>-<set>-<ordinal>``. Claims of one pod share their last two words, claims of
its replicas the word before the ordinal: a template's and a set's own hyphens cannot be told apart, and need not be.
What is named alike by chance is spread too, which costs nothing.

Source: Kubernetes, StatefulSet, ``volumeClaimTemplates``; external-provisioner, ``--extra-create-metadata``.
"""

import re
from typing import Final

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


def note(known: dict[str, set[str]], name: str, groups: tuple[str, ...]) -> None:
    """Enter a volume into its groups."""
    for group in groups:
        known.setdefault(group, set()).add(name)


def forget(known: dict[str, set[str]], name: str, groups: tuple[str, ...]) -> None:
    """Take a volume out of its groups."""
    for group in groups:
        names = known.get(group, set())
        names.discard(name)
        if not names:
            known.pop(group, None)
