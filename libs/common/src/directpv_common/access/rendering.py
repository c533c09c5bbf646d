"""The table of roles as a NATS server's configuration. Source: NATS documentation, "NKeys", "Authorization"."""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from directpv_common.access.roles import Access

ANSWER_SECONDS: Final = 3600
"""How long a request may be answered: formatting and repair take their time."""


class User(NamedTuple):
    """Who may connect."""

    public: str
    """Public key."""
    access: Access


def authorization(users: Iterable[User]) -> str:
    """Return the block by which a server lets in ``users`` and nobody else."""
    entries = ",\n".join(f"    {json.dumps(_entry(user))}" for user in users)
    return f"authorization {{\n  users: [\n{entries}\n  ]\n}}\n"


def _entry(user: User) -> dict[str, object]:
    inbox = f"_INBOX.{user.public}.>"
    return {
        "nkey": user.public,
        "permissions": {
            "publish": {"allow": list(user.access.publish)},
            "subscribe": {"allow": [*user.access.subscribe, inbox]},
            "allow_responses": {"max": 1, "expires": f"{ANSWER_SECONDS}s"},
        },
    }
