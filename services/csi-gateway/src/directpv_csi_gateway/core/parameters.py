"""Parameters of a storage class: what is ours is checked, what is nearly ours refused, what is others' kept."""

import difflib
import re
from collections.abc import Mapping
from typing import Final

from directpv_common.protocol.inodes import bytes_per_inode
from directpv_common.protocol.names import ACCESS_TIER, BYTES_PER_INODE, GROUP, VOLUME_CLAIM_ID, AccessTier
from directpv_csi_gateway.core.checks import mapping, refused, shown

_CLAIM_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_TIERS: Final = frozenset(tier.lower() for tier in AccessTier)
_SIGNS: Final = re.compile(r"[^a-z0-9]")
_NEAR: Final = 0.85
"""Of 1 for equal; ``acces-tier`` and ``access-tier`` have 0.95, ``tier`` and ``access-tier`` 0.57."""


def _plain(text: str) -> str:
    """Return letters and digits alone, as whoever misspells remembers them."""
    return _SIGNS.sub("", text.lower())


_OURS: Final = {_plain(key.partition("/")[2]): key for key in (ACCESS_TIER, VOLUME_CLAIM_ID, BYTES_PER_INODE)}


def parameters(field: str, value: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a storage class; those of other drivers are kept, the controller ignores them.

    Raises:
        InvalidRequest: Too large, a key that is nearly ours, an access tier that does not exist, a claim id that is no
            UUID, or bytes per inode that cannot be.
    """
    checked = mapping(field, value)
    for key in checked:
        meant = meant_by(key)
        if meant:
            raise refused(f"{field}[{shown(key)}]", f"is no parameter of DirectPV; write {meant}, or remove it")
    tier = checked.get(ACCESS_TIER)
    if tier is not None and tier.lower() not in _TIERS:
        raise refused(f"{field}[{ACCESS_TIER}]", f"{shown(tier)} is no access tier; use one of {', '.join(AccessTier)}")
    claim = checked.get(VOLUME_CLAIM_ID)
    if claim is not None and not _CLAIM_ID.match(claim):
        raise refused(f"{field}[{VOLUME_CLAIM_ID}]", f"{shown(claim)} is no UUID; write 8-4-4-4-12 hexadecimal digits")
    bytes_per_inode(checked)
    return checked


def meant_by(key: str) -> str:
    """Return which key of ours a misspelt one means; empty if it is none.

    Any key of our group is one: those without a meaning of their own name a label that the drive must have.
    """
    group, slash, name = key.rpartition("/")
    if group == GROUP:
        meant = _OURS.get(_plain(name), "")
        return meant if meant != key else ""
    if slash and _is_near(group, GROUP):
        return f"{GROUP}/{name}"
    if slash:
        return ""
    near = difflib.get_close_matches(_plain(name), _OURS, 1, _NEAR)
    return _OURS[near[0]] if near else ""


def _is_near(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, _plain(one), _plain(other)).ratio() >= _NEAR
