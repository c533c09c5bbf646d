"""Shorter ways through nats-py's client (2.16) for what every call does: to ask, to be answered, to be asked.

There each message goes through a queue to a task that hands it over, and who asks waits in a timeout of its own. What
is handed over at once needs neither. JetStream's subscriptions, and others that take their time, go the library's way.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final

from directpv_common.bus import lean_nats  # noqa: F401

# isort: split
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from directpv_common.calls.scopes import timeout

TELL_SECONDS: Final = 1.0
"""A connection that takes no line for so long is about to be made anew, without what was let go."""


class ShortWays(Client):
    """The client, with the ways that calls take."""

    def __init__(self) -> None:
        super().__init__()
        self._handed_over: set[int] = set()

    def hand_over(self, subscription: Subscription | None) -> None:
        """Call what handles this subscription as soon as a message is read: it must only hand over, never wait."""
        assert subscription is not None
        self._handed_over.add(subscription._id)

    async def let_go(self, subscriptions: Iterable[Subscription | None]) -> None:
        """Hear no more of subscriptions, whether or not the server hears of it now, or this is cancelled.

        The library keeps those whose end it could not tell, and asks for them again with each new connection.
        """
        left = [each for each in subscriptions if each is not None and each._id in self._subs]
        for each in left:
            each._stop_processing()
            self._remove_sub(each._id)
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with timeout(TELL_SECONDS):
                for each in left:
                    await self._send_unsubscribe(each._id)

    # ---- what arrives -------------------------------------------------------------------------------------------

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sub = self._subs.get(sid)
        is_answer = sub is not None and sub._cb == self._request_sub_callback
        if sub is None or not (is_answer or sid in self._handed_over):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        sub._received += 1
        message = self._build_message(sid, subject, reply, data, await self._process_headers(headers))
        try:
            await sub._cb(message)  # type: ignore[misc]
        except Exception as error:
            await self._error_cb(error)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._handed_over.discard(sid)
        super()._remove_sub(sid, max_msgs)

    # ---- what is asked ------------------------------------------------------------------------------------------

    async def _request_new_style(
        self, subject: str, payload: bytes, timeout: float = 1, headers: dict[str, Any] | None = None
    ) -> Msg:
        if self.is_draining_pubs:
            raise nats.errors.ConnectionDrainingError
        if not self._resp_sub_prefix:
            await self._init_request_sub()
        loop, token = asyncio.get_running_loop(), self._nuid.next().decode()
        answer: asyncio.Future[Msg] = loop.create_future()
        timer = loop.call_later(timeout, _too_late, answer)
        self._resp_map[token] = answer
        try:
            await self.publish(subject, payload, f"{bytes(self._resp_sub_prefix or b'').decode()}{token}", headers)
            return await answer
        finally:
            timer.cancel()
            self._resp_map.pop(token, None)


def _too_late(answer: "asyncio.Future[Msg]") -> None:
    if not answer.done():
        answer.set_exception(nats.errors.TimeoutError())
