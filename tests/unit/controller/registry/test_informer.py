"""An informer, with an API server that answers by script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from directpv_common.crd import Object
from directpv_common.protocol.errors import Unavailable
from directpv_controller.registry.kubernetes.apiserver.client import Client, Page, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Expired
from directpv_controller.registry.kubernetes.apiserver.informer import STEP, Informer

Step = Page | Exception


def page(version: str, *names: str) -> Page:
    return Page([{"metadata": {"name": name, "resourceVersion": version}} for name in names], version)


AGAIN = Page([], "")


class Scripted:
    """Answers one list after another as it was told, then none; a watch ends at once, or says nothing for ever."""

    def __init__(self, *lists: list[Step], watch: Exception | None = None, silent: bool = True) -> None:
        self.lists, self.end, self.silent = list(lists), watch, silent
        self.watched: list[str] = []
        self.before_page: Callable[[], None] = lambda: None

    async def pages(self, resource: Resource) -> AsyncIterator[Page]:
        for step in self.lists.pop(0) if self.lists else [page("9")]:
            self.before_page()
            if isinstance(step, Exception):
                raise step
            yield step

    @contextlib.asynccontextmanager
    async def watch(self, resource: Resource, version: str, **limits: Any) -> AsyncIterator[AsyncIterator[Object]]:
        self.watched.append(version)
        if self.end is not None:
            raise self.end
        yield self._events()

    async def _events(self) -> AsyncIterator[Object]:
        if self.silent:
            await asyncio.Event().wait()
        return
        yield


class Seen:
    """What was handed over, in order."""

    def __init__(self, client: Scripted, *known: str, version: str = "") -> None:
        self.told: list[str] = []
        resource = Resource("/x", "x")
        self.informer = Informer(cast(Client, client), resource, self._take, version=version, known=set(known))

    def _take(self, kind: str, obj: Object) -> None:
        self.told.append(("-" if kind == "deleted" else "+") + obj["metadata"]["name"])


async def following(seen: Seen, done: Awaitable[Any]) -> None:
    """Follow until ``done``."""
    task = asyncio.create_task(seen.informer.run())
    try:
        async with asyncio.timeout(10):
            await done
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_page_is_handed_over_before_the_next_one_is_read() -> None:
    client = Scripted([page("5", "a", "b"), page("5", "c")])
    seen = Seen(client)
    had: list[int] = []
    client.before_page = lambda: had.append(len(seen.told))
    await following(seen, seen.informer.synced.wait())
    assert had == [0, 2]
    assert seen.told == ["+a", "+b", "+c"]


async def test_what_is_not_in_the_whole_list_is_told_as_deleted() -> None:
    seen = Seen(Scripted([page("5", "a"), page("5", "b")]), "b", "gone")
    await following(seen, seen.informer.synced.wait())
    assert seen.told == ["+a", "+b", "-gone"]


async def test_a_list_that_ends_early_tells_nothing_as_deleted() -> None:
    client = Scripted([page("5", "a"), Unavailable("no answer")], [page("7", "b", "old")])
    seen = Seen(client, "old")
    await following(seen, seen.informer.synced.wait())
    assert seen.told == ["+a", "+b", "+old", "-a"]  # what only the first one had is gone by the second
    assert client.watched == ["7"]


async def test_what_only_an_expired_part_of_a_list_had_is_told_as_deleted() -> None:
    client = Scripted([page("5", "a", "b"), AGAIN, page("7", "b"), page("7", "c")])
    seen = Seen(client)
    await following(seen, seen.informer.synced.wait())
    assert seen.told == ["+a", "+b", "+b", "+c", "-a"]
    assert client.watched == ["7"]


@pytest.mark.parametrize("known", [False, True])
async def test_others_have_their_turn_while_a_list_is_handed_over(known: bool) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while not seen.informer.synced.is_set():
            turns += bool(seen.told)
            await asyncio.sleep(0)

    names = [*map(str, range(10 * STEP))]
    seen = Seen(Scripted([page("5")]), *names) if known else Seen(Scripted([page("5", *names)]))
    await following(seen, others())
    assert turns >= 9


@pytest.mark.parametrize("end", [Expired("too old"), Unavailable("no answer"), None])
async def test_a_watch_that_ends_at_once_is_opened_again_after_longer_and_longer_pauses(end: Exception | None) -> None:
    client = Scripted(watch=end, silent=False)
    await following(Seen(client), asyncio.sleep(1.0))
    assert 2 <= len(client.watched) <= 6
