"""By what we know NATS servers of a cluster: certificates of one authority. Without one nothing is said to a server.

A server greets before TLS begins, so that somebody between could say in its name that it has none. Who has an authority
begins TLS whatever the greeting says, and says nothing himself before: what the greeting can do then is nothing but to
keep him waiting.

Source: NATS protocol, INFO: ``tls_required``, ``tls_available``. OpenSSL, ``X509_V_ERR``.
"""

import functools
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats.errors

from directpv_common.protocol.errors import InvalidRequest

log = logging.getLogger(__name__)

EXPIRED: Final = 10
NOT_YET: Final = 9
STRANGE: Final = frozenset({18, 19, 20, 21})
OTHER_NAME: Final = frozenset({62, 64})


class NoTlsError(nats.errors.Error):
    """The server offers no TLS."""


async def never() -> bool:
    """Allow no server to be without TLS."""
    return False


@dataclass(frozen=True)
class Trust:
    """What a server must show."""

    authority: str
    """Certificates of who may have issued the server's, as PEM: one, or one after another."""
    name: str = ""
    """What the server is called in its certificate; empty: as in the URL."""
    former: Callable[[], Awaitable[bool]] = never
    """Tells whether servers of the version before are known to be there, which have no TLS."""

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """What Python needs; no authority beside ours counts.

        Raises:
            InvalidRequest: There is no certificate in it.
        """
        if not self.authority.strip():
            raise InvalidRequest("bus-ca: no certificate", field="bus-ca")
        try:
            context = ssl.create_default_context(cadata=self.authority)
        except ssl.SSLError as error:
            raise InvalidRequest(f"bus-ca: no certificate: {error.reason or error}", field="bus-ca") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    async def require(self, greeting: dict[str, Any]) -> None:
        """Write into a server's greeting that TLS begins now.

        Raises:
            NoTlsError: It has none, and should.
        """
        if offers(greeting):
            greeting["tls_required"] = True
        elif not await self.former():
            raise NoTlsError


def offers(greeting: Mapping[str, Any]) -> bool:
    """Tell whether a server has TLS, as it says."""
    return bool(greeting.get("tls_required") or greeting.get("tls_available"))


def read_trust(path: str) -> Trust | None:
    """Return the trust in the authority of a file; None if no file is named.

    Raises:
        InvalidRequest: It cannot be read, or holds no certificate; names the file.
    """
    if not path:
        return None
    try:
        trust = Trust(Path(path).read_text())
        assert trust.context
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidRequest(f"bus-ca: {path} cannot be read: {why}", field="bus-ca") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}: {path}", field="bus-ca") from error
    return trust


def distrusted(error: BaseException) -> str:
    """Return why a server is not trusted and what to do, if that is what ``error`` says; else nothing."""
    if isinstance(error, NoTlsError):
        return (
            "it has no TLS: it is of the version before, which an upgrade replaces, or somebody between says so in its "
            "name"
        )
    if not isinstance(error, ssl.SSLError):
        return ""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS fails: {error.reason or error}"
    said = f"its certificate is not accepted ({error.verify_message.rstrip('.')})"
    code = error.verify_code
    if code in (EXPIRED, NOT_YET):
        return f"{said}: is the clock of this machine right?"
    if code in STRANGE:
        return (
            f"{said}: who issued it is not this installation's authority; if the secret of the bus was changed, its "
            "servers and controllers have to be restarted"
        )
    if code in OTHER_NAME:
        return f"{said}: it is for other names than the one it was reached by"
    return said


def lasting(error: BaseException) -> bool:
    """Tell whether a repeat will end the same way until somebody changes something."""
    return isinstance(error, ssl.SSLCertVerificationError)


class Doubt:
    """Why servers are not trusted, logged once for as long as it stays the same."""

    def __init__(self, urls: str) -> None:
        """``urls``: of the servers, to be shown."""
        self._urls, self._told = urls, ""
        self.said, self.lasting = "", False

    def noted(self, error: Exception) -> bool:
        """Take note of what went wrong last; tell whether it was that."""
        why = distrusted(error)
        self.said = f"the NATS server at {self._urls} is not trusted: {why}" if why else ""
        self.lasting = lasting(error)
        if why and self.said != self._told:
            log.error("server not trusted", extra={"error": self.said})
            self._told = self.said
        return bool(why)
