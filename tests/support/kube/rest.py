"""Reads and writes objects of an API server through connections that stay open: a kubectl costs a process each time.

Source: Kubernetes API concepts; kubernetes.io/docs/reference/using-api/api-concepts.
"""

import argparse
import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from support.kube.kinds import BY_WORD

_SECONDS: Final = 60.0
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.5
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json"


class Refused(Exception):
    """The API server answered with an error; ``status`` is HTTP's."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Rest:
    """Asks from any thread; what it has open is closed by :meth:`close`."""

    def __init__(self, url: str, trust: Callable[[], ssl.SSLContext]) -> None:
        self._host = urlsplit(url).netloc
        self._trust = trust
        self._idle = list[http.client.HTTPSConnection]()

    def get(self, path: str) -> bytes:
        """Return what the server answers; raises :class:`Refused`, or OSError if it does not answer."""
        return self._send("GET", path, None, JSON)

    def send(self, verb: str, path: str, body: Any = None, kind: str = JSON) -> dict[str, Any]:
        """Do what may be done twice, for nobody knows what a server did that ends meanwhile; return its answer.

        Raises:
            Refused: Not because the server has just started, when it says so of custom resources for a while.
            OSError: It does not answer.
        """
        data = json.dumps(body).encode() if body is not None else None
        for left in reversed(range(_TRIES)):
            try:
                return dict(json.loads(self._send(verb, path, data, kind)))
            except Refused as refused:
                if refused.status != http.HTTPStatus.TOO_MANY_REQUESTS or not left:
                    raise
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _send(self, verb: str, path: str, data: bytes | None, kind: str) -> bytes:
        while self._idle:
            with contextlib.suppress(IndexError, OSError, http.client.HTTPException):
                # one that the server has closed meanwhile is no failure
                return self._ask(self._idle.pop(), verb, path, data, kind)
        connection = http.client.HTTPSConnection(self._host, timeout=_SECONDS, context=self._trust())
        try:
            return self._ask(connection, verb, path, data, kind)
        except http.client.HTTPException as error:
            raise ConnectionError(f"{verb} {path}: {error!r}") from error

    def _ask(
        self, connection: http.client.HTTPSConnection, verb: str, path: str, data: bytes | None, kind: str
    ) -> bytes:
        try:
            connection.request(verb, path, data, {"Content-Type": kind})
            reply = connection.getresponse()
            said = reply.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if reply.status not in range(200, 300):
            raise Refused(f"{verb} {path}: {reply.status} {said[:500].decode(errors='replace')}", reply.status)
        return said

    def close(self) -> None:
        """Close what is open."""
        while self._idle:
            self._idle.pop().close()

    def items(self, *arguments: str) -> list[dict[str, Any]] | None:
        """Return what ``kubectl get`` with these arguments would list; None if this is not known here."""
        path = path_of(arguments)
        if path is None:
            return None
        listed = json.loads(self.get(path))
        return [{"kind": listed["kind"].removesuffix("List"), **item} for item in listed["items"]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("resource")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", dest="labelSelector")
    parser.add_argument("--field-selector", dest="fieldSelector")
    return parser


def path_of(arguments: Sequence[str]) -> str | None:
    """Return the path that ``kubectl get`` with these arguments asks for; None if the resource is not known here."""
    asked = _parser().parse_args(arguments)
    place = BY_WORD.get(asked.resource)
    if place is None:
        return None
    chosen = {name: getattr(asked, name) for name in ("labelSelector", "fieldSelector") if getattr(asked, name)}
    return place.path("" if asked.all_namespaces else asked.namespace) + (f"?{urlencode(chosen)}" if chosen else "")
