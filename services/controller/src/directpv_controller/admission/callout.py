"""Answers NATS, which asks about everybody whom it does not know by itself. Source: NATS ADR-26."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg

from directpv_common.access import claims
from directpv_common.access.nkey import Nkey
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError, InvalidRequest
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.core import decisions
from directpv_controller.admission.core.former import admit_former
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.tokens import account_of, checked_token

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 4.0
"""Servers wait for five."""
TELL_AGAIN_SECONDS: Final = 60.0
REMEMBERED: Final = 1_000

Count = Callable[[str], None]
"""Takes the outcome: ``admitted``, ``refused`` or ``undecided``."""


class Callout:
    """Lets in, or keeps out."""

    def __init__(
        self,
        answers: Answers,
        asking: asyncio.Semaphore,
        keys: NodeKeys,
        subjects: Subjects,
        issuer: Nkey,
        namespace: str,
        count: Count,
    ) -> None:
        self._answers, self._asking, self._keys, self._subjects = answers, asking, keys, subjects
        self._issuer, self._namespace, self._count = issuer, namespace, count
        self._told: dict[tuple[str, str], float] = {}

    async def answer(self, message: Msg) -> None:
        """Answer one request of a server; one that cannot be decided now gets none: the server lets it try again."""
        try:
            request = claims.read_request(message.data)
        except InvalidRequest as error:
            log.warning("not understood", extra={"error": error.message})
            return
        try:
            async with timeout(ANSWER_SECONDS):
                verdict = await self._verdict(request)
        except (DirectPVError, TimeoutError) as error:
            self._tell(request, f"Kubernetes cannot be asked about it: {str(error) or 'no answer in time'}")
            self._count("undecided")
            return
        now = int(time.time())
        if isinstance(verdict, decisions.Admitted):
            self._count("admitted")
            log.debug("let in", extra={"who": verdict.name, "host": request.host})
            name, access, expires = verdict
            reply = claims.admission(request, access, self._issuer, name=name, now=now, expires=expires)
        else:
            self._count("refused")
            self._tell(request, verdict.why)
            reply = claims.refusal(request, verdict.why, self._issuer, now=now)
        await message._client.publish(message.reply, reply)

    async def _verdict(self, request: claims.Request) -> decisions.Admitted | decisions.Refused:
        verdict = decisions.decide(request, self._keys, self._subjects, int(time.time()))
        if isinstance(verdict, decisions.AskToken):
            return await self._person(verdict.token)
        if isinstance(verdict, decisions.AskAddress):
            async with self._asking:
                return admit_former(request, await self._answers.pods_at(verdict.host), self._subjects)
        return verdict

    async def _person(self, token: str) -> decisions.Admitted | decisions.Refused:
        async with self._asking:
            status = await self._answers.review(checked_token(token))
        if not status.get("authenticated"):
            return decisions.Refused(f"shows a token that Kubernetes does not accept: {status.get('error') or ''}")
        account = account_of(status.get("user") or {}, self._namespace)
        return decisions.person(token, account, self._subjects, int(time.time()))

    def _tell(self, request: claims.Request, why: str) -> None:
        """Log that somebody does not come in; not each time, for he may try once a second."""
        about, now = (request.host, " ".join(why.split()[:3])), time.monotonic()  # the rest may be of his own making
        if now - self._told.get(about, -TELL_AGAIN_SECONDS) < TELL_AGAIN_SECONDS:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[about] = now
        log.warning("not let in", extra={"host": request.host, "who": request.name, "kind": request.kind, "why": why})
