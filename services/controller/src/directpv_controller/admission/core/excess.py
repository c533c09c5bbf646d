"""Who takes more of the bus than one of his role may: said by what servers count of each connection."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from directpv_common.access.limits import TABLE, Limit
from directpv_common.access.roles import Role
from directpv_controller.admission.core.links import Link, is_former, node_in

LEAST_SECONDS: Final = 5.0
"""Rates are of so many seconds at least: what is said at once, and is soon over, harms nobody."""
ROLES: Final[Mapping[str, Role]] = {role.value: role for role in (Role.ADMINISTRATOR, Role.OBSERVER, Role.STRANGER)}


def role_of(user: str) -> Role | None:
    """Return as what somebody was let in by us; None: servers know him by themselves, or he is of another kind."""
    if node_in(user) is not None or is_former(user):
        return Role.LEAF
    return ROLES.get(user)


def who(link: Link) -> str:
    """Return by what it is known who comes again: the key of a node, the address of anybody else."""
    known = node_in(link.user)
    return known[1] if known is not None else link.address


class Excess:
    """Remembers what each connection had said when it was looked at before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], Link] = {}

    def found(self, links: Iterable[Link]) -> dict[Link, str]:
        """Return those that must be ended, each with why; ``links``: all connections of all servers that answered."""
        reasons: dict[Link, str] = {}
        together: Counter[tuple[str, str, str]] = Counter()
        now: dict[tuple[str, int], Link] = {}
        for link in sorted(links, key=lambda each: each.started):
            role = role_of(link.user)
            limit = TABLE.get(role) if role is not None else None
            if limit is None:
                continue
            at = (link.server, link.number)
            now[at] = link
            crowd = (link.server, link.user, link.address)
            together[crowd] += 1
            if limit.connections and together[crowd] > limit.connections:
                reasons[link] = f"more than {limit.connections} connections of one kind from one address"
            elif why := _too_much(link, self._before.get(at), limit):
                reasons[link] = why
        # one that was looked at a moment ago stays as it was, or rates would be of moments
        self._before = {
            at: self._before[at] if at in self._before and link.seen - self._before[at].seen < LEAST_SECONDS else link
            for at, link in now.items()
        }
        return reasons


def _too_much(link: Link, before: Link | None, limit: Limit) -> str:
    """Return what one said too much of since ``before``, or since he came; a server's count never goes back."""
    since = before.seen if before is not None else link.started
    seconds = max(link.seen - since, LEAST_SECONDS)
    messages = (link.messages - (before.messages if before is not None else 0)) / seconds
    size = (link.bytes - (before.bytes if before is not None else 0)) / seconds
    if messages > limit.messages:
        return f"sends {messages:.0f} messages a second, of at most {limit.messages}"
    if size > limit.bytes:
        return f"sends {size:.0f} bytes a second, of at most {limit.bytes}"
    return ""


class Bans:
    """Who was cut off for what he sent, and is let in no sooner than after a while."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def put(self, who: str, until: float, now: float) -> None:
        """Let him wait until then."""
        self._until = {each: end for each, end in self._until.items() if end > now}
        self._until[who] = max(until, self._until.get(who, until))

    def left(self, who: str, now: float) -> float:
        """Return for how many seconds more he waits; 0: he does not."""
        return max(self._until.get(who, now) - now, 0.0)
