"""What NATS asks of an auth callout, and what it is answered: signed claims, which NATS calls JWTs.

Source: NATS ADR-26, "Authorization Callouts"; github.com/nats-io/jwt, version 2 of the claims: header, claims and
signature, each in base64 for URLs, joined by dots; the signature covers the first two.
"""

import base64
import hashlib
from typing import Final

import msgspec
import orjson

from directpv_common.access.nkey import Nkey
from directpv_common.access.roles import Access
from directpv_common.protocol.errors import InvalidRequest

ACCOUNT: Final = "$G"
"""The account in which everybody is: the one that servers have without any configuration of accounts."""
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
_VERSION: Final = 2
_UNLIMITED: Final = -1


class _Server(msgspec.Struct):
    id: str


class _Client(msgspec.Struct):
    host: str = ""
    name: str = ""
    kind: str = ""
    nonce: str = ""


class _Options(msgspec.Struct):
    nkey: str = ""
    sig: str = ""
    auth_token: str = ""


class _Tls(msgspec.Struct):
    version: str = ""


class _Asked(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    client_info: _Client
    connect_opts: _Options
    client_tls: _Tls | None = None


class _Claims(msgspec.Struct):
    nats: _Asked
    iat: int = 0
    sub: str = ""


class Request(msgspec.Struct, frozen=True):
    """Somebody who wants to connect, as the server sees him."""

    server: str
    """Public key of the server that asks."""
    user: str
    """Public key that the server made for this connection."""
    kind: str
    """``Client`` or ``Leafnode``."""
    name: str
    """As he says; of a leaf the name of its server."""
    host: str
    """Address from which he comes."""
    nonce: str
    """What the server gave him to sign."""
    nkey: str
    signature: str
    token: str
    now: int
    """When the server asked, in seconds of its calendar, which also tells when it ends a connection; 0: unknown."""
    encrypted: bool = False
    """Whether he speaks by TLS."""
    issuer: str = ""
    """The public key by which the server knows answers."""


def read_request(data: bytes) -> Request:
    """Return what the server asks. Its signature is not looked at: answers are of use to the server alone.

    Raises:
        InvalidRequest: It is no request of an auth callout.
    """
    try:
        claims = data.split(b".")[1]
        found = msgspec.json.decode(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)), type=_Claims)
    except (IndexError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidRequest("no request of an auth callout") from error
    asked = found.nats
    client, options = asked.client_info, asked.connect_opts
    return Request(
        server=asked.server_id.id,
        user=asked.user_nkey,
        kind=client.kind,
        name=client.name,
        host=client.host,
        nonce=client.nonce,
        nkey=options.nkey,
        signature=options.sig,
        token=options.auth_token,
        now=found.iat,
        encrypted=asked.client_tls is not None,
        issuer=found.sub,
    )


def admission(request: Request, access: Access, issuer: Nkey, *, name: str, now: int, expires: int = 0) -> bytes:
    """Return the answer that lets him in.

    Args:
        request: What was asked.
        access: What he may say and hear; nothing else.
        issuer: The key that the servers know.
        name: Who he is, for people who look at connections.
        now: Seconds of the calendar.
        expires: When the server ends the connection, in the same; 0: never.
    """
    # NATS takes an empty list for permission to do everything
    permissions = {
        "pub": {"allow": list(access.publish)} if access.publish else {"deny": [">"]},
        "sub": {"allow": list(access.subscribe)} if access.subscribe else {"deny": [">"]},
    }
    limits = dict.fromkeys(("subs", "data", "payload"), _UNLIMITED)
    kind = {"Leafnode": "LEAFNODE", "Client": "STANDARD"}[request.kind]
    user = {
        "sub": request.user,
        "aud": ACCOUNT,
        "name": name,
        **({"exp": expires} if expires else {}),
        "nats": {**permissions, **limits, "allowed_connection_types": [kind], "type": "user", "version": _VERSION},
    }
    return _answer(request, {"jwt": _signed(user, issuer, now).decode()}, issuer, now)


def refusal(request: Request, why: str, issuer: Nkey, *, now: int) -> bytes:
    """Return the answer that keeps him out; ``why`` is for the server's log alone, he does not hear it."""
    return _answer(request, {"error": why}, issuer, now)


def _answer(request: Request, content: dict[str, str], issuer: Nkey, now: int) -> bytes:
    nats = {**content, "type": "authorization_response", "version": _VERSION}
    return _signed({"sub": request.user, "aud": request.server, "nats": nats}, issuer, now)


def _signed(claims: dict[str, object], issuer: Nkey, now: int) -> bytes:
    claims = {**claims, "iss": issuer.public, "iat": now}
    number = base64.b32encode(hashlib.sha256(orjson.dumps(claims)).digest()).decode().rstrip("=")
    text = b".".join(map(_base64, (_HEADER, {**claims, "jti": number})))
    return text + b"." + issuer.sign(text)


def _base64(value: object) -> bytes:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=")
