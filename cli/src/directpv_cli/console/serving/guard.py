"""Asks everybody who comes in to show that it is the user's own browser, on the console's own pages."""

import secrets
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from directpv_cli.console.core import admission
from directpv_cli.console.core.admission import Asked, Refusal

ENTERING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>DirectPV</title>
<link rel="icon" href="{root}static/icon.svg"><meta http-equiv="refresh" content="0; url={root}">
<p><a href="{root}">DirectPV console</a></p></html>
"""
"""Answers the token: the way on is asked for by a page of our own, so that the browser shows the new cookie also when
it was sent here by another program's link."""
BODY_BYTES: Final = 1 << 20


class Guard:
    """The outermost part of the application: nothing inside it runs for those who are refused."""

    def __init__(self, app: ASGIApp, root: str, entered: Callable[[], None] = lambda: None) -> None:
        """``root``: path below which everything is, with a slash at both ends."""
        self.token = secrets.token_urlsafe(32)
        """Lets in the first who shows it; empty after that."""
        self._app, self._root, self._entered = app, root, entered
        self._session = ""
        self._authorities: Sequence[str] = ()

    def serve(self, authorities: Sequence[str]) -> None:
        """Answer to these names, as they stand in the header Host."""
        self._authorities = authorities

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, let in, or hand on a request."""
        if scope["type"] != "http":
            return  # nothing here starts with the server, and nobody speaks WebSocket
        asked = _asked(scope, streams=scope["path"] == f"{self._root}live")
        refused = admission.of_host(asked, self._authorities)
        if refused is None and asked.path == "/":
            answer: ASGIApp = self._enter(scope)
        else:
            refused = refused or admission.of_session(asked, self._session, secrets.compare_digest)
            refused = refused or admission.of_origin(asked, self._authorities)
            answer = self._app
        if refused is not None:
            answer = _refusal(refused)
        await answer(scope, _bounded(receive), _with_headers(send))

    def _enter(self, scope: Scope) -> Response:
        """Give a session to the first who shows the token."""
        shown = parse_qs(scope["query_string"].decode("latin-1")).get(admission.TOKEN, [""])[-1]
        if not (self.token and shown and secrets.compare_digest(shown.encode(), self.token.encode())):
            return _refusal(Refusal(403, admission.SIGN_IN))
        self.token, self._session = "", secrets.token_urlsafe(32)
        self._entered()
        page = Response(ENTERING.format(root=self._root), media_type="text/html")
        page.headers["set-cookie"] = admission.set_cookie(self._session, self._root)
        return page


def _asked(scope: Scope, *, streams: bool) -> Asked:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    return Asked(scope["method"], scope["path"], headers, streams)


def _refusal(refused: Refusal) -> Response:
    return PlainTextResponse(f"{refused.why}\n", refused.status)


def _with_headers(send: Send) -> Send:
    """Send the headers of :data:`.admission.HEADERS` with every answer, instead of what it has itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [pair for pair in message.get("headers", ()) if pair[0].decode("latin-1") not in admission.HEADERS]
            ours = [(name.encode(), value.encode()) for name, value in admission.HEADERS.items()]
            message = {**message, "headers": [*own, *ours]}
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    """Read no more of a request than any form of ours can be."""
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > BODY_BYTES:
            return {"type": "http.disconnect"}
        return message

    return receiving
