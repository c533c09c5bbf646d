"""Reads objects of an API server through connections that stay open: tests look often, and a kubectl costs each time.

Source: Kubernetes API concepts, "Resource URIs"; kubernetes.io/docs/reference/using-api/api-concepts.
"""

import argparse
import contextlib
import http.client
import json
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

_SECONDS: Final = 60.0
_CORE: Final = "/api/v1"
_OURS: Final = "/apis/directpv.min.io/v1beta1"
PLACES: Final = {
    "pod": (_CORE, "pods", True),
    "pods": (_CORE, "pods", True),
    "pvc": (_CORE, "persistentvolumeclaims", True),
    "pv": (_CORE, "persistentvolumes", False),
    "nodes": (_CORE, "nodes", False),
    "namespaces": (_CORE, "namespaces", False),
    "events": (_CORE, "events", True),
    "leases": ("/apis/coordination.k8s.io/v1", "leases", True),
    "csistoragecapacities": ("/apis/storage.k8s.io/v1", "csistoragecapacities", True),
    "directpvdrives": (_OURS, "directpvdrives", False),
    "directpvvolumes": (_OURS, "directpvvolumes", False),
}
"""Group and version, plural, and whether it lies in namespaces, by what tests call it."""


class Refused(Exception):
    """The API server answered with an error."""


class Reader:
    """Reads from any thread; what it has open is closed by :meth:`close`."""

    def __init__(self, url: str, trust: Callable[[], ssl.SSLContext]) -> None:
        self._host = urlsplit(url).netloc
        self._trust = trust
        self._idle = list[http.client.HTTPSConnection]()

    def get(self, path: str) -> bytes:
        """Return what the server answers; raises :class:`Refused`, or OSError if it does not answer."""
        while self._idle:
            with contextlib.suppress(IndexError, OSError, http.client.HTTPException):
                return self._ask(self._idle.pop(), path)  # one that the server has closed meanwhile is no failure
        connection = http.client.HTTPSConnection(self._host, timeout=_SECONDS, context=self._trust())
        try:
            return self._ask(connection, path)
        except http.client.HTTPException as error:
            raise ConnectionError(f"GET {path}: {error!r}") from error

    def _ask(self, connection: http.client.HTTPSConnection, path: str) -> bytes:
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            said = reply.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if reply.status != http.HTTPStatus.OK:
            raise Refused(f"GET {path}: {reply.status} {said[:500].decode(errors='replace')}")
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
    if asked.resource not in PLACES:
        return None
    group, plural, namespaced = PLACES[asked.resource]
    where = f"/namespaces/{asked.namespace}" if namespaced and not asked.all_namespaces else ""
    chosen = {name: getattr(asked, name) for name in ("labelSelector", "fieldSelector") if getattr(asked, name)}
    return f"{group}{where}/{plural}" + (f"?{urlencode(chosen)}" if chosen else "")
