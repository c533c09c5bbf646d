"""A small client for the API server: plain dictionaries over REST, a time limit on everything.

The generated client and its model tree are left alone: they take seconds to import and most of the time of every call.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import aiohttp
import orjson

from directpv_common.crd import Object
from directpv_common.protocol.errors import Unavailable
from directpv_controller.registry.kubernetes.apiserver.access import Access
from directpv_controller.registry.kubernetes.apiserver.errors import Expired, Unclear, error_of, ours
from directpv_controller.registry.kubernetes.apiserver.sockets import Sockets

CALL_SECONDS: Final = 5.0
LIST_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 2.0
CONNECTIONS: Final = 64
PAGE: Final = 500
RESTARTS: Final = 3
"""A list whose continuation expired is begun anew so often."""
LINE_BYTES: Final = 8 * 1024 * 1024
"""etcd takes 1.5 MiB per object; an event is one line."""
USER_AGENT: Final = "directpv-controller"


class Resource(NamedTuple):
    """A collection of objects."""

    path: str
    """For instance ``/apis/directpv.min.io/v1beta1/directpvdrives``."""
    name: str
    """For metrics."""
    accept: str = "application/json"
    """Form in which objects are sent."""


class Page(NamedTuple):
    """A part of a list."""

    items: list[Object]
    version: str
    """Resource version of the whole list: where a watch begins."""


Observe = Callable[[str, str, str], None]
"""Called with verb, resource and outcome of each request."""


class Client:
    """One API server; made by :func:`connect`."""

    def __init__(self, access: Access, session: aiohttp.ClientSession, observe: Observe) -> None:
        self._access, self._session, self._observe = access, session, observe

    async def get(self, resource: Resource, name: str, *, within: float = CALL_SECONDS) -> Object:
        """Return one object.

        Raises:
            Missing: There is none.
            Unavailable: No answer.
        """
        return await self._call("GET", resource, name, within=within)

    async def create(self, resource: Resource, obj: Object, *, within: float = CALL_SECONDS) -> Object:
        """Make an object; return it as it is stored.

        Raises:
            Exists: There is one already.
            Refused: Never.
            Unsent: Certainly not made.
            Unclear: Possibly made.
        """
        return await self._call("POST", resource, "", obj, within=within)

    async def replace(self, resource: Resource, obj: Object, *, within: float = CALL_SECONDS) -> Object:
        """Write an object if it still has the resource version that ``obj`` names; return it as it is stored.

        Raises:
            Stale: It was changed.
            Missing: It is gone.
            Refused: Never.
            Unsent: Certainly not written.
            Unclear: Possibly written.
        """
        return await self._call("PUT", resource, obj["metadata"]["name"], obj, within=within)

    async def merge(self, resource: Resource, name: str, patch: Object, *, within: float = CALL_SECONDS) -> Object:
        """Merge ``patch`` into an object; raises as :meth:`replace`. Source: RFC 7386."""
        return await self._call("PATCH", resource, name, patch, within=within)

    async def delete(self, resource: Resource, name: str, *, version: str = "", within: float = CALL_SECONDS) -> Object:
        """Delete an object if it still has ``version``; one with finalizers is only marked.

        Raises as :meth:`replace`.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if version:
            options["preconditions"] = {"resourceVersion": version}
        return await self._call("DELETE", resource, name, options, within=within)

    async def pages(self, resource: Resource, *, size: int = PAGE) -> AsyncIterator[Page]:
        """Yield all objects, page by page; a page without version says: forget what came before, it begins anew.

        Lists and watches come without ``managedFields``, which the API server keeps when they are not written.

        Raises:
            Unavailable: No answer, or the list expired again and again.
            Missing: The API server does not know the resource.
        """
        for _ in range(RESTARTS):
            try:
                async for page in self._pages(resource, size):
                    yield page
                return
            except Expired:
                yield Page([], "")
        raise Unavailable(f"listing {resource.name}: expired {RESTARTS} times")

    async def _pages(self, resource: Resource, size: int) -> AsyncIterator[Page]:
        token = ""
        while True:
            query = {"limit": str(size), **({"continue": token} if token else {})}
            body = await self._send("GET", resource, "", None, query, LIST_SECONDS)
            found = await asyncio.to_thread(_list, body, f"listing {resource.name}")
            del body  # not kept while the page is worked on
            yield Page(found["items"], found["metadata"]["resourceVersion"])
            token = found["metadata"].get("continue") or ""
            if not token:
                return

    @contextlib.asynccontextmanager
    async def watch(
        self, resource: Resource, version: str, *, seconds: float, idle: float
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """Yield the events after ``version``: ``{"type": …, "object": …}``, bookmarks included.

        The server ends it after ``seconds``; a connection on which nothing comes for ``idle`` seconds is given up.

        Raises:
            Expired: ``version`` is too old.
            Unavailable: The connection failed, or was idle for too long.
        """
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        url, what = f"{self._access.url}{resource.path}", f"watching {resource.name}"
        with ours(what):
            for refused in (False, True):
                headers = await self._headers(refused=refused)
                async with self._session.get(url, params=query, headers=headers, timeout=limit) as reply:
                    if reply.status == 401 and not refused:
                        continue
                    if reply.status != 200:
                        raise error_of(reply, await reply.read(), what)
                    try:
                        yield _events(reply.content)
                    finally:
                        _hang_up(reply)
                    return

    # ---- one request

    async def _call(
        self, verb: str, resource: Resource, name: str, body: Object | None = None, *, within: float
    ) -> Object:
        data = orjson.dumps(body) if body is not None else None
        return _object(await self._send(verb, resource, name, data, {}, within), f"{verb} {resource.name}")

    async def _send(
        self, verb: str, resource: Resource, name: str, data: bytes | None, query: dict[str, str], within: float
    ) -> bytes:
        """Send one request, again if the token was refused, and count it."""
        outcome = "ok"
        what = f"{verb} {resource.name}{'/' if name else ''}{name}"
        try:
            for refused in (False, True):
                with ours(what):
                    headers = await self._headers(refused=refused)
                    status, reply, body = await self._once(verb, resource, name, data, query, within, headers)
                if status != 401:
                    break
            if status >= 300:
                raise error_of(reply, body, what)
            return body
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._observe(verb, resource.name, outcome)

    async def _once(
        self,
        verb: str,
        resource: Resource,
        name: str,
        data: bytes | None,
        query: dict[str, str],
        within: float,
        headers: dict[str, str],
    ) -> tuple[int, aiohttp.ClientResponse, bytes]:
        url = f"{self._access.url}{resource.path}{'/' if name else ''}{name}"
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        headers = {**headers, "Content-Type": kind, "Accept": resource.accept}
        limit = aiohttp.ClientTimeout(total=within, sock_connect=min(within, CONNECT_SECONDS))
        async with self._session.request(verb, url, params=query, data=data, headers=headers, timeout=limit) as reply:
            return reply.status, reply, await reply.read()

    async def _headers(self, *, refused: bool = False) -> dict[str, str]:
        token = await self._access.token(refused)
        return {"Authorization": f"Bearer {token}"} if token else {}


def _hang_up(reply: aiohttp.ClientResponse) -> None:
    """End the connection of a watch at once: to take leave by TLS may take a server as long as it likes."""
    if reply.connection is not None and reply.connection.transport is not None:
        reply.connection.transport.abort()


def _object(body: bytes, what: str) -> Object:
    """Return the object that a server sent. What stands before an API server may answer 200 with a page for people.

    Raises:
        Unclear: It is none.
    """
    with ours(what):
        found = orjson.loads(body)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise Unclear(f"{what}: the answer is no object of Kubernetes")
    return found


def _list(body: bytes, what: str) -> Object:
    """Return a page of a list, without what the API server notes about who wrote which field: half of each object."""
    found = _object(body, what)
    if "items" not in found or "resourceVersion" not in found["metadata"]:
        raise Unclear(f"{what}: the answer is no list")
    found["items"] = found["items"] or []
    for item in found["items"]:
        item["metadata"].pop("managedFields", None)
    return found


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Object]:
    """Yield one event per line; a line may be longer than the reader's buffer."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield _event(b"".join([*parts, line]))
            parts = []
        if rest:
            parts.append(rest)
        if sum(map(len, parts)) > LINE_BYTES:
            raise Unavailable("an event is larger than any object can be")


def _event(line: bytes) -> Object:
    with ours("watching"):
        event = orjson.loads(line)
    if not isinstance(event, dict) or not {"type", "object"} <= event.keys():
        raise Unclear("watching: the answer is no event of Kubernetes")
    if event["type"] == "ERROR":
        status = event["object"]
        if status.get("code") == 410:
            raise Expired(str(status.get("message")))
        raise Unavailable(f"watch failed: {status.get('message')}")
    event["object"]["metadata"].pop("managedFields", None)
    return event


@contextlib.asynccontextmanager
async def connect(access: Access, observe: Observe) -> AsyncIterator[Client]:
    """Yield a client; its connections are closed at the end of the block."""
    sockets = Sockets()
    connector = aiohttp.TCPConnector(ssl=access.tls, limit=CONNECTIONS, socket_factory=sockets.make)
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    try:
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, read_bufsize=2**20, auto_decompress=True
        ) as session:
            yield Client(access, session, observe)
    finally:
        await sockets.end()
