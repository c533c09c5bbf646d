"""The keys of an installation in a cluster, all made of one secret, which is in a Secret that its own pods mount.

One text, because whoever installs (Helm, the plugin, a person) can make up a text, and none of them can make keys.
"""

import hmac
from pathlib import Path
from typing import Final, NamedTuple

from directpv_common.access.certificates import Authority
from directpv_common.access.nkey import Kind, Nkey
from directpv_common.protocol.errors import InvalidRequest

SHORTEST: Final = 32
"""Characters: of hexadecimal digits 128 bits."""


class Keys(NamedTuple):
    """Who has them: servers know the public ones, the controller's pods have all."""

    issuer: Nkey
    """Of the auth callout."""
    controller: Nkey
    gateway: Nkey
    """Of CSI's controller service."""
    warden: Nkey
    """By which the controller's pods end connections that may not be there any more."""
    route: str
    """Password by which servers know each other."""
    authority: Authority
    """By which everybody knows servers."""


def keys_of(secret: str) -> Keys:
    """Return the keys that belong to ``secret``.

    Raises:
        InvalidRequest: It is too short to be one.
    """
    text = secret.strip()
    if len(text) < SHORTEST:
        raise InvalidRequest(f"bus-secret: shorter than {SHORTEST} characters, so that it could be guessed")

    def derived(purpose: str) -> bytes:
        return hmac.digest(text.encode(), f"directpv bus 1: {purpose}".encode(), "sha256")

    return Keys(
        issuer=Nkey(derived("issuer"), Kind.ACCOUNT),
        controller=Nkey(derived("controller")),
        gateway=Nkey(derived("gateway")),
        warden=Nkey(derived("warden")),
        route=derived("route").hex(),
        authority=Authority(derived("authority")),
    )


def read_keys(path: str) -> Keys | None:
    """Return the keys of the secret in a file; None if no file is named.

    Raises:
        InvalidRequest: It cannot be read, or holds no secret; names the file.
    """
    if not path:
        return None
    try:
        return keys_of(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidRequest(f"bus-secret: {path} cannot be read: {why}", field="bus-secret") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}: {path}", field="bus-secret") from error
