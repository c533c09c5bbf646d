"""The keys of an installation in a cluster, all made of one secret, which is in a Secret that its own pods mount.

One text, because whoever installs (Helm, the plugin, a person) can make up a text, and none of them can make keys.

While the secret is being replaced by another one, there are two: one is used, and what is made of the other is trusted.
"""

import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from directpv_common.access.certificates import Authority
from directpv_common.access.nkey import Kind, Nkey
from directpv_common.protocol.errors import InvalidRequest

ALSO: Final = "also"
"""Name of the file, beside that of the secret, with one that is trusted as well; and of the key in the Secret."""
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


def read_keys(path: str) -> tuple[Keys, ...]:
    """Return the keys of the secret in a file, and those of one that is trusted as well; nothing if no file is named.

    Raises:
        InvalidRequest: It cannot be read, or holds no secret; names the file.
    """
    if not path:
        return ()
    also = Path(path).with_name(ALSO)
    return (_read(Path(path)), *((_read(also),) if also.exists() and also != Path(path) else ()))


def certificates_of(keys: Iterable[Keys]) -> str:
    """Return the certificates of all authorities, as PEM; the same text, whichever of them is used."""
    return "".join(sorted({each.authority.certificate for each in keys}))


def _read(path: Path) -> Keys:
    try:
        return keys_of(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidRequest(f"bus-secret: {path} cannot be read: {why}", field="bus-secret") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}: {path}", field="bus-secret") from error
