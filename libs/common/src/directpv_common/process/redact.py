"""Addresses without the users, passwords and tokens in them: for logs, errors and whatever else people read."""

import re
from typing import Final

_USER_INFO: Final = re.compile(r"(?<=://)[^\s,]{0,4096}@")
"""Up to the last ``@`` before the next address: a password that was not escaped may hold one, or a slash."""
HIDDEN: Final = "***@"


def redacted(text: str) -> str:
    """Return ``text`` with every URL in it freed of its user information.

    >>> redacted("no answer from nats://me:secret@host:4222,nats://token@other")
    'no answer from nats://***@host:4222,nats://***@other'

    Source: RFC 3986, section 3.2.1, which asks for the same of passwords.
    """
    return _USER_INFO.sub(HIDDEN, text) if "@" in text else text
