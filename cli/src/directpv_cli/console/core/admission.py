"""Who may come in: one browser, by a token that works once, from this console's own pages. Decisions of the guard.

Source: OWASP, Cross-Site Request Forgery Prevention (Origin and Fetch Metadata); W3C, Fetch Metadata Request Headers;
RFC 6265bis, SameSite. Cookies know hosts and paths, but no ports: each console has a path of its own, which nobody can
guess, so that no other server of this machine is ever sent its cookie.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

COOKIE: Final = "directpv-console"
TOKEN: Final = "token"  # noqa: S105 - the name of a parameter
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Of every answer."""
SIGN_IN: Final = (
    "This page needs the address that the console printed when it was started. Each works once, in one browser: to "
    "come in from another one, end the console and start it again."
)


class Asked(NamedTuple):
    """What decides about a request; header names are in lower case."""

    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    streams: bool = False
    """Whether the answer goes on for as long as somebody listens."""

    def all_of(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    def one_of(self, name: str) -> str:
        """Return a header that is there once; empty if it is not there, or several times."""
        values = self.all_of(name)
        return values[0] if len(values) == 1 else ""


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: int
    why: str


Equal = Callable[[str, str], bool]
"""Compares secrets in a time that tells nothing."""


def of_host(asked: Asked, authorities: Sequence[str]) -> Refusal | None:
    """Refuse whoever came by another name than the loopback address and port that are served (DNS rebinding)."""
    if asked.one_of("host") not in authorities:
        return Refusal(421, "this server answers to its loopback address and port alone")
    if asked.method not in METHODS:
        return Refusal(405, "only GET, HEAD and POST are answered")
    return None


def of_session(asked: Asked, session: str, equal: Equal) -> Refusal | None:
    """Refuse whoever has not come in by the token."""
    shown = cookies(asked).get(COOKIE, "")
    return None if session and shown and equal(shown, session) else Refusal(403, SIGN_IN)


def of_origin(asked: Asked, authorities: Sequence[str]) -> Refusal | None:
    """Refuse what other pages ask of the browser: all that they ask for, if the browser says so; changes and streams
    also if it does not say that our own page asks.
    """
    site, origins = asked.all_of("sec-fetch-site"), asked.all_of("origin")
    own = [f"http://{authority}" for authority in authorities]
    if any(word not in ("same-origin", "none") for word in site) or any(origin not in own for origin in origins):
        return Refusal(403, "another site asks for this")
    needs_proof = asked.streams or asked.method == "POST"
    if needs_proof and not origins and site != ["same-origin"]:
        return Refusal(403, "only the console's own pages may ask for this")
    return None


def cookies(asked: Asked) -> dict[str, str]:
    """Return what cookies the browser shows; of several of one name the first. Source: RFC 6265, section 5.4."""
    found: dict[str, str] = {}
    for header in asked.all_of("cookie"):
        for pair in header.split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals:
                found.setdefault(name, value)
    return found


def set_cookie(session: str, root: str) -> str:
    """Return the header that gives the browser its session, for the paths below ``root`` alone."""
    return f"{COOKIE}={session}; Path={root}; HttpOnly; SameSite=Strict"
