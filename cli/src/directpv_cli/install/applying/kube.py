"""The API server, as far as the installer needs it: plain objects over HTTP, every call with a time limit.

Source: Kubernetes API concepts, "Server-Side Apply", "Resource Operations"; kubeconfig as kubectl reads it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson

from directpv_cli.install.objects.base import MANAGER, Object
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import (
    Conflict,
    DirectPVError,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    InvalidToken,
    NotFound,
    Unavailable,
)

CALL_SECONDS: Final = 30.0
TRIES: Final = 5
FIRST_PAUSE: Final = 0.2
PAGE: Final = 500
RELISTS: Final = 20
"""How often a list may begin again: its pages are good for about five minutes."""
POLL_SECONDS: Final = 0.2
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
"""Answers after which the same call can succeed: every call of the installer may be repeated."""
_ERRORS: Final[Mapping[int, type[DirectPVError]]] = {
    400: InvalidRequest,
    401: FailedPrecondition,
    403: FailedPrecondition,
    404: NotFound,
    409: Conflict,
    410: InvalidToken,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}


class Cluster:
    """A connection to the API server; made by :func:`connect`."""

    def __init__(self, session: Any, url: str, headers: Any) -> None:
        self._session, self._url, self._headers = session, url.rstrip("/"), headers

    async def get(self, ref: Ref) -> Object | None:
        """Return the object, None if there is none (or nothing of its kind)."""
        try:
            return await self.call("GET", ref.path, about=str(ref))
        except NotFound:
            return None

    async def apply(self, item: Object) -> Object:
        """Create or change an object by server-side apply, and return it; other owners of the same fields lose them.

        Raises:
            DirectPVError: Names the object.
        """
        ref = Ref.of(item)
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self.call("PATCH", ref.path, query=query, body=item, kind=APPLY, about=str(ref))

    async def patch(self, ref: Ref, body: Any, kind: str = MERGE) -> Object:
        """Patch an object.

        Raises:
            DirectPVError: Names the object.
        """
        return await self.call("PATCH", ref.path, query={"fieldManager": MANAGER}, body=body, kind=kind, about=str(ref))

    async def delete(self, ref: Ref, *, foreground: bool = False) -> bool:
        """Ask for the deletion of an object and what belongs to it; False if it is missing.

        With ``foreground``, the object stays until all of that is gone.
        """
        options = {"propagationPolicy": "Foreground" if foreground else "Background"}
        try:
            await self.call("DELETE", ref.path, body=options, about=str(ref))
        except NotFound:
            return False
        return True

    async def pages(self, kind: str, *, selector: str = "", path: str = "") -> AsyncIterator[list[Object]]:
        """Yield the objects of a kind in pages; nothing if the kind is unknown there.

        ``path`` is that of the collection, where it is not that of the kind, in our namespace or in none.

        A list that took too long begins again, so that an object may come more than once, and none is left out.

        Raises:
            DirectPVError: It cannot be read, or not to its end.
        """
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        token, begun = "", 1
        while True:
            try:
                reply = await self.call(
                    "GET",
                    path or PLACES[kind].path(),
                    query={**query, "continue": token} if token else query,
                    about=kind,
                )
            except NotFound:
                return
            except InvalidToken:
                if begun > RELISTS:
                    raise
                token, begun = "", begun + 1
                continue
            yield reply.get("items") or []
            token = reply["metadata"].get("continue", "")
            if not token:
                return

    async def gone(self, ref: Ref, within: float) -> bool:
        """Wait until an object is gone; tell whether it is."""
        with contextlib.suppress(TimeoutError):
            async with timeout(within):
                while True:
                    if await self.get(ref) is None:
                        return True
                    await asyncio.sleep(POLL_SECONDS)
        return False

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        kind: str = "application/json",
        about: str,
    ) -> Object:
        """Make a call, again after passing troubles, and return its answer.

        Raises:
            DirectPVError: The server refused (its own words, after ``about``) or cannot be reached.
        """
        pause = FIRST_PAUSE
        for attempt in range(1, TRIES + 1):
            try:
                return await self._call(method, path, query, body, kind, about)
            except Unavailable:
                if attempt == TRIES:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError

    async def _call(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, kind: str, about: str
    ) -> Object:
        import aiohttp

        headers = {"Accept": "application/json", "Content-Type": kind, **await self._headers()}
        data = None if body is None else orjson.dumps(body)
        limit = aiohttp.ClientTimeout(total=CALL_SECONDS)
        try:
            async with self._session.request(
                method, self._url + path, params=query, data=data, headers=headers, timeout=limit
            ) as reply:
                content = await reply.read()
                status = reply.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"{about}: the API server {self._url} cannot be reached: {error or type(error).__name__}"
            ) from error
        return _answer(status, content, about)


def _answer(status: int, content: bytes, about: str) -> Object:
    if 200 <= status < 300:
        try:
            return orjson.loads(content)  # type: ignore[no-any-return]
        except orjson.JSONDecodeError:
            raise Internal(f"{about}: the API server's answer is no JSON; is it one?") from None
    try:
        said = str(orjson.loads(content).get("message") or "")
    except (orjson.JSONDecodeError, AttributeError):
        said = content.decode(errors="replace")[:200]
    error = Unavailable if status in _AGAIN else _ERRORS.get(status, Internal)
    hint = "; your kubeconfig's user may not do that" if status in (401, 403) else ""
    raise error(f"{about}: {said or f'HTTP status {status}'}{hint}")


@contextlib.asynccontextmanager
async def connect(kubeconfig: str = "", context: str = "") -> AsyncIterator[Cluster]:
    """Connect as kubectl does: ``kubeconfig``, else ``KUBECONFIG``, else ``~/.kube/config``, else the pod's account.

    ``context`` is one of the kubeconfig; empty: its current one.

    Raises:
        FailedPrecondition: There is none of these, or it cannot be used.
    """
    from kubernetes_asyncio.client import ApiClient, Configuration

    settings = Configuration()
    await _load(settings, kubeconfig, context)
    client = ApiClient(settings)

    async def headers() -> dict[str, str]:
        found: dict[str, str] = {}
        for auth in (await settings.auth_settings()).values():
            if auth["in"] == "header" and auth["value"]:
                found[auth["key"]] = auth["value"]
        return found

    try:
        yield Cluster(client.rest_client.pool_manager, str(settings.host), headers)
    finally:
        await client.close()


def _own_file() -> str:
    default = os.path.expanduser("~/.kube/config")
    return default if os.path.exists(default) else ""


async def _load(settings: Any, kubeconfig: str, context: str = "") -> None:
    import yaml
    from kubernetes_asyncio import config

    path = kubeconfig or os.environ.get("KUBECONFIG", "") or await asyncio.to_thread(_own_file)
    if path and not await asyncio.to_thread(lambda: any(map(os.path.exists, path.split(os.pathsep)))):
        raise FailedPrecondition(f"no cluster: there is no file {path}; give --kubeconfig")
    try:
        if path:
            await config.load_kube_config(config_file=path, context=context or None, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except (
        config.ConfigException,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
    ) as error:
        where = path or "neither KUBECONFIG nor ~/.kube/config nor a pod's account"
        raise FailedPrecondition(f"no cluster: {where}: {error}; give --kubeconfig") from error
