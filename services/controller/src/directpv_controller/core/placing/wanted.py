"""What a CreateVolume asks for, read once and checked."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from directpv_common.protocol import names
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.inodes import bytes_per_inode
from directpv_common.protocol.messages import MAX_INT64, CreateVolume, Segments, is_volume_name
from directpv_common.protocol.names import AccessTier
from directpv_common.protocol.units import format_bytes
from directpv_controller.core.placing.spread import groups_of

Pairs = frozenset[tuple[str, str]]

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_TIERS: Final = {tier.value.lower(): tier for tier in AccessTier}
_PREFIX: Final = f"{names.GROUP}/"


class Need(Struct, frozen=True, gc=False):
    """What does not depend on sizes: drives that meet one need share one view."""

    tier: AccessTier | None = None
    labels: Pairs = frozenset()
    claim: str = ""
    """Lower-case UUID; a drive holds at most one volume of it."""
    segments: Pairs = frozenset()
    """One topology term; empty: anywhere."""


class Wanted(Struct, frozen=True, gc=False):
    """A volume to be placed. Sizes in bytes; ``limit`` 0 means none."""

    name: str
    project: int
    """XFS project id that the volume will have."""
    required: int
    limit: int
    parameters: dict[str, str]
    need: Need
    """Without topology."""
    preferred: tuple[Segments, ...]
    """Topology terms that are tried in this order, none twice."""
    requisite: tuple[Segments, ...]
    """Topology terms of which any will do, after the preferred ones; none of these again."""
    groups: tuple[str, ...] = ()
    """What its claim belongs to; see :mod:`.spread`."""

    @property
    def at_least(self) -> int:
        """Free bytes that a drive must have."""
        return max(1, self.required)

    def size_on(self, free: int) -> int:
        """Return the size of the volume on a drive with ``free`` bytes: all of them if no lower bound was asked."""
        return self.required or (min(free, self.limit) if self.limit else free)


def wanted_from(request: CreateVolume) -> Wanted:
    """Check ``request`` and return what it means.

    Raises:
        InvalidRequest: Name, sizes or a parameter can never be satisfied; ``field`` names it.
    """
    if not is_volume_name(request.name):
        raise InvalidRequest(f"name: {request.name!r} ends with '.deleted', which is reserved", field="name")
    project = names.project_id(request.name)
    if project == 0:
        raise InvalidRequest(f"name: {request.name} has project id 0; choose another name", field="name")
    check_sizes(request.required, request.limit)
    preferred, requisite = _places(request)
    return Wanted(
        name=request.name,
        project=project,
        required=request.required,
        limit=request.limit,
        parameters=request.parameters,
        need=need_from(request.parameters),
        preferred=preferred,
        requisite=requisite,
        groups=_groups(request),
    )


def _groups(request: CreateVolume) -> tuple[str, ...]:
    """Return what its claim belongs to; nothing if it takes what it gets: few bytes are no better place."""
    asked = request.parameters
    return groups_of(asked.get(names.PVC_NAME, ""), asked.get(names.PVC_NAMESPACE, "")) if request.required else ()


def check_sizes(required: int, limit: int) -> None:
    """Refuse a capacity range that no size satisfies.

    Raises:
        InvalidRequest: ``field`` is ``capacity_range``.
    """
    if limit and required > limit:
        raise InvalidRequest(
            f"capacity_range: required_bytes ({required}) is larger than limit_bytes ({limit})", field="capacity_range"
        )
    if required > MAX_INT64 or limit > MAX_INT64:
        raise InvalidRequest("capacity_range: sizes must be below 2^63 bytes", field="capacity_range")


def need_from(parameters: dict[str, str], segments: dict[str, str] | None = None) -> Need:
    """Read the parameters of a storage class; keys outside of our group mean nothing here.

    Raises:
        InvalidRequest: Unknown access tier, or a claim id that is no UUID; ``field`` names the parameter.

    Source: upstream's CreateVolume: ``access-tier`` case-insensitive, ``volume-claim-id`` a UUID in either case, any
    other key of the group must equal the drive's label.
    """
    tier, claim, labels = None, "", []
    for key, value in parameters.items():
        if not key.startswith(_PREFIX):
            continue
        if key == names.ACCESS_TIER:
            tier = _tier(value)
        elif key == names.VOLUME_CLAIM_ID:
            claim = _claim(value)
        elif key == names.BYTES_PER_INODE:
            bytes_per_inode(parameters)  # a matter of the node; refused here if it cannot be
        else:
            labels.append((key, value))
    return Need(tier, frozenset(labels), claim, frozenset((segments or {}).items()))


def _tier(value: str) -> AccessTier:
    tier = _TIERS.get(value.strip().lower())
    if tier is None:
        raise InvalidRequest(
            f"parameter {names.ACCESS_TIER}: {value[:64]!r} is no access tier; use one of {', '.join(AccessTier)}",
            field=f"parameters.{names.ACCESS_TIER}",
        )
    return tier


def _claim(value: str) -> str:
    claim = value.lower()
    if not _UUID.match(claim):
        raise InvalidRequest(
            f"parameter {names.VOLUME_CLAIM_ID}: {value[:64]!r} is no UUID (8-4-4-4-12 hexadecimal digits)",
            field=f"parameters.{names.VOLUME_CLAIM_ID}",
        )
    return claim


def _places(request: CreateVolume) -> tuple[tuple[Segments, ...], tuple[Segments, ...]]:
    """Return the preferred terms and the others, none twice: with Immediate binding, both lists have every node."""
    found: dict[str | Pairs, Segments] = {}
    named: dict[str, Segments] = {}
    for term in request.preferred:
        found.setdefault(_key(term, named), term)
    first = len(found)
    for term in request.requisite:
        found.setdefault(_key(term, named), term)
    terms = tuple(found.values())
    return terms[:first], terms[first:]


def _key(term: Segments, named: dict[str, Segments]) -> str | Pairs:
    """Return what tells the term apart: the name of its node, if ``named`` has no other term of that node."""
    node = term.get(names.NODE)
    return node if node is not None and named.setdefault(node, term) == term else pairs(term)


def pairs(term: Segments) -> Pairs:
    """Return a topology term as a need has it."""
    return frozenset(term.items())


def describe(segments: Mapping[str, str]) -> str:
    """Name a topology term for a person.

    >>> describe({"directpv.min.io/node": "worker01"})
    'worker01'
    """
    rest = dict(segments)
    node = rest.pop(names.NODE, "")
    if node:
        return node
    return ", ".join(f"{key.removeprefix(_PREFIX)}={value}" for key, value in sorted(rest.items()))


def describe_size(wanted: Wanted) -> str:
    """Say how much is asked."""
    return format_bytes(wanted.required) if wanted.required else "any size"
