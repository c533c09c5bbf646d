"""Ends connections of who may not be there any more: NATS asks once, when somebody comes, and never again.

Each controller looks at all connections now and then, and at once when a key is replaced or gone. What it remembers
only says whom to ask about: nobody is cut off unless Kubernetes, asked at that moment, says that he has to go. Who
takes more of the bus than his role may is cut off without being asked about, and kept out for a while.

Source: NATS documentation, "System Events": ``CONNZ`` and ``KICK``; tried with NATS 2.15.
"""

import asyncio
import contextlib
import datetime
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
import nats.errors

from directpv_common.access.claims import ACCOUNT
from directpv_common.bus.bus import Bus
from directpv_common.bus.nats_client import cancellation_heeded
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.banning import Banning
from directpv_controller.admission.core.decisions import IN_CLEAR, Refused
from directpv_controller.admission.core.excess import Excess, who
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.links import Link, is_former, node_in
from directpv_controller.admission.formers import admitted_former, clear_at

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""So soon is noticed who takes too much; nobody else has to be asked for that."""
KNOWN_SECONDS: Final = 20.0
"""Between looks at who may not be there any more, about whom Kubernetes may have to be asked."""
BAN_SECONDS: Final = 60.0
GATHER_SECONDS: Final = 2.0
"""Servers that have not answered by then are looked at the next time."""
LEAST_PAUSE: Final = 1.0
PAGE: Final = 1024
SERVER: Final = "$SYS.REQ.SERVER"

Connect = Callable[[], AbstractAsyncContextManager[Bus]]
"""To the servers' own account, as the warden."""


class _Connection(msgspec.Struct):
    cid: int
    kind: str = ""
    ip: str = ""
    name: str = ""
    authorized_user: str = ""
    start: datetime.datetime | None = None
    in_msgs: int = 0
    in_bytes: int = 0
    tls_version: str = ""


class _Page(msgspec.Struct):
    server_id: str
    total: int
    now: datetime.datetime | None = None
    connections: list[_Connection] = []


class _Reply(msgspec.Struct):
    data: _Page | None = None


class Cutting:
    """Looks, and cuts off."""

    def __init__(
        self,
        connect: Connect,
        answers: Answers,
        keys: NodeKeys,
        subjects: Subjects,
        cut: Callable[[str], None],
        banning: Banning | None = None,
    ) -> None:
        """Describe it.

        Args:
            connect: See :data:`Connect`.
            answers: Of Kubernetes.
            keys: Of the nodes.
            subjects: Of the installation.
            cut: Takes the role of each who was cut off.
            banning: Keeps out who took too much; None: he may come again at once.
        """
        self._connect, self._answers, self._keys, self._subjects, self._cut = connect, answers, keys, subjects, cut
        self._banning = banning
        self._excess = Excess()
        self._looked = -KNOWN_SECONDS
        self.changed = asyncio.Event()
        """To be set when a key was replaced, or is gone."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with timeout(LOOK_SECONDS * (0.75 + random.random() / 2)):
                    await self.changed.wait()
            known = not self.changed.is_set() and time.monotonic() - self._looked < KNOWN_SECONDS
            self.changed.clear()
            try:
                with cancellation_heeded():
                    async with self._connect() as bus:
                        await self.look(bus, all_are_known=known)
            except (DirectPVError, nats.errors.Error, OSError) as error:
                log.info("connections cannot be looked at now", extra={"error": str(error) or type(error).__name__})
            except Exception:  # whatever is wrong with it, who comes must be answered
                log.exception("connections cannot be looked at")
            await asyncio.sleep(LEAST_PAUSE)

    async def look(self, bus: Bus, *, all_are_known: bool = False) -> None:
        """Look at all connections once, and end those that must not be there.

        Args:
            bus: Of the servers' own account.
            all_are_known: Whether who is there was looked at a moment ago, so that only what they take is new.
        """
        links = [link async for link in _links(bus)]
        excess = await self._excessive(links)
        for link, why in excess.items():
            await self._end(bus, link, link.user.partition(" ")[0], why)
        if all_are_known:
            return
        for link in links:
            role, why = await self._unwanted(link)
            if why and link not in excess:
                await self._end(bus, link, role, why)
        self._looked = time.monotonic()

    async def _excessive(self, links: list[Link]) -> dict[Link, str]:
        """Return whose connections must be ended for what they send, and see that they are kept out."""
        excess = self._excess.found(links)
        if self._banning is None:
            return excess
        await self._banning.repeat()
        for link in excess:
            await self._banning.put(who(link), BAN_SECONDS)
        # a controller that was not told yet may have let him in again
        again = {link: "was cut off, and is here again" for link in links if node_in(link.user) is not None}
        return {link: why for link, why in again.items() if self._banning.left(who(link))} | excess

    async def _end(self, bus: Bus, link: Link, role: str, why: str) -> None:
        log.warning("cut off", extra={"who": link.user, "host": link.address, "why": why})
        await _kick(bus, link)
        self._cut(role)

    async def _unwanted(self, link: Link) -> tuple[str, str]:
        """Return who that is, and why he must go; no reason: he may stay."""
        if is_former(link.user):
            verdict = await admitted_former(self._answers, link.kind, link.name, link.address, self._subjects)
            return link.user, verdict.why if isinstance(verdict, Refused) else ""
        known = node_in(link.user)
        if known is None:
            return "", ""
        node, key = known
        if self._keys.node_of(key) != node and await self._answers.kept(node) != key:
            return "node", f"the key is not that of node {node} any more"
        if link.encrypted or await clear_at(self._answers, link.address):
            return "node", ""
        return "node", IN_CLEAR


async def _links(bus: Bus) -> AsyncIterator[Link]:
    """Yield all connections of all servers that answer."""
    for first in await _gathered(bus):
        page: _Page | None = first
        offset = 0
        while page is not None and page.connections:
            for each in page.connections:
                yield _link(page, each)
            offset += len(page.connections)
            page = await _page(bus, first.server_id, offset) if offset < page.total else None


def _link(page: _Page, each: _Connection) -> Link:
    started, seen = (at.timestamp() if at is not None else 0.0 for at in (each.start, page.now))
    user, address = each.authorized_user, each.ip
    said, encrypted = (each.in_msgs, each.in_bytes), bool(each.tls_version)
    return Link(page.server_id, each.cid, user, each.kind, each.name, address, started, seen, *said, encrypted)


async def _gathered(bus: Bus) -> list[_Page]:
    """Return the first page of each server."""
    inbox, pages = bus.client.new_inbox(), []
    answers = await bus.client.subscribe(inbox)
    try:
        await bus.client.publish(f"{SERVER}.PING.CONNZ", _wanted(0), reply=inbox)
        async with timeout(GATHER_SECONDS):
            while True:
                if (page := _read((await answers.next_msg(timeout=2 * GATHER_SECONDS)).data)) is not None:
                    pages.append(page)
    except TimeoutError:
        return pages
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await answers.unsubscribe()


async def _page(bus: Bus, server: str, offset: int) -> _Page | None:
    with contextlib.suppress(TimeoutError, nats.errors.Error):
        return _read((await bus.client.request(f"{SERVER}.{server}.CONNZ", _wanted(offset), timeout=2)).data)
    return None


def _wanted(offset: int) -> bytes:
    wanted: dict[str, Any] = {"acc": ACCOUNT, "auth": True, "offset": offset, "limit": PAGE}
    return msgspec.json.encode(wanted)


def _read(data: bytes) -> _Page | None:
    try:
        return msgspec.json.decode(data, type=_Reply).data
    except msgspec.MsgspecError:
        return None


async def _kick(bus: Bus, link: Link) -> None:
    with contextlib.suppress(TimeoutError, nats.errors.Error):
        await bus.client.request(f"{SERVER}.{link.server}.KICK", msgspec.json.encode({"cid": link.number}), timeout=2)
