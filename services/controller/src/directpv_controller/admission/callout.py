"""Answers NATS, which asks about everybody whom it does not know by itself. Source: NATS ADR-26.

Who shows a key, by TLS, is decided about at once, whatever else is going on. Those about whom Kubernetes must be asked
wait for each other, people apart from pods of the version before, and none of them takes all places of his kind.

Where more come than can be decided about, those come first for whom a server still waits: to answer the others would
be in vain, and they ask again. So many are let in each second, however many knock.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from time import monotonic, time
from typing import Final, Protocol

from nats.aio.msg import Msg

from directpv_common.access import claims
from directpv_common.access.nkey import Nkey
from directpv_common.access.patience import DECIDE_SECONDS, SERVER_SECONDS
from directpv_common.calls.pace import Pace
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError, InvalidRequest
from directpv_common.protocol.subjects import Subjects
from directpv_controller.admission.answers import Answers
from directpv_controller.admission.asking import Asking, Crowd
from directpv_controller.admission.core import decisions
from directpv_controller.admission.core.excess import Bans
from directpv_controller.admission.core.keys import NodeKeys
from directpv_controller.admission.core.tokens import account_of, unaccepted
from directpv_controller.admission.formers import admitted_former, clear_at

log = logging.getLogger(__name__)

AT_ONCE: Final = 200
EACH_SECOND: Final = 50.0
"""Strangers of one address: each costs signatures, and whoever is more often there waits for the server to hang up."""
RETURNS_AT_ONCE: Final = 500
RETURNS_EACH_SECOND: Final = 1.0
"""Connections of one node's server: what is counted of one begins anew with the next."""
TELL_AGAIN_SECONDS: Final = 60.0
REMEMBERED: Final = 1_000
WAITING: Final = 10_000
"""Requests that wait to be looked at; more push out the oldest."""


class Count(Protocol):
    """Takes note of a decision."""

    def __call__(self, outcome: str, role: str, seconds: float) -> None:
        """Take the outcome (``admitted``, ``refused`` or ``undecided``), of whom, and after how long."""


class Callout:
    """Lets in, or keeps out."""

    def __init__(
        self,
        answers: Answers,
        keys: NodeKeys,
        subjects: Subjects,
        issuers: Sequence[Nkey],
        namespace: str,
        count: Count,
        bans: Bans | None = None,
    ) -> None:
        self._bans = bans or Bans()
        self._answers, self._keys, self._subjects = answers, keys, subjects
        self._issuers, self._namespace, self._count = {each.public: each for each in issuers}, namespace, count
        self._issuer = issuers[0]
        self._people, self._formers = Asking(Crowd(64, 16, at_once=8)), Asking(Crowd(64, 8, at_once=8))
        self._pace, self._nodes = Pace(AT_ONCE, EACH_SECOND), Pace(RETURNS_AT_ONCE, RETURNS_EACH_SECOND)
        self._told: dict[tuple[str, str], float] = {}
        self._waiting: deque[tuple[float, Msg]] = deque(maxlen=WAITING)
        """With the time at which each came: to look at one takes longer than to take it."""
        self._woken = asyncio.Event()

    async def heard(self, message: Msg) -> None:
        """Take one request of a server, for :meth:`run`."""
        self._waiting.append((monotonic(), message))
        self._woken.set()

    async def run(self) -> None:
        """Decide about those who come, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                came, message = self._waiting.popleft()
                if monotonic() - came > SERVER_SECONDS:
                    self._count("undecided", "late", monotonic() - came)
                    continue
                try:
                    await self._look_at(message, came)
                except Exception:
                    log.exception("not answered")
                await asyncio.sleep(0)  # others have their turn

    async def _look_at(self, message: Msg, begun: float) -> None:
        """Decide about one, if that can be now; else it gets no answer, and tries again."""
        try:
            request = claims.read_request(message.data)
        except InvalidRequest as error:
            log.warning("not understood", extra={"error": error.message})
            return
        known = request.kind == decisions.LEAF and self._keys.node_of(request.nkey) != ""
        pace, who = (self._nodes, request.nkey) if known else (self._pace, request.host)
        if not pace.allows(who, begun):
            self._undecided(request, f"too many came {'with this key' if known else 'from this address'}", begun)
            return
        if left := self._bans.left(who, begun):
            banned = decisions.Refused(f"took too much of the bus, and was cut off; in {left:.0f} s he may come again")
            await self._answer(message, request, banned, begun)
            return
        verdict = decisions.decide(request, self._keys, self._subjects, self._now(request))
        if isinstance(verdict, decisions.Admitted | decisions.Refused):
            await self._answer(message, request, verdict, begun)
            return
        crowd = self._people if isinstance(verdict, decisions.AskToken) else self._formers
        if not crowd.begin(request.host, self._asked(message, request, verdict, begun)):
            self._undecided(request, "too many of this address, or in all, are being decided about", begun)

    async def end(self) -> None:
        """Leave those undecided who are being decided about; who asked asks again, and another answers."""
        await self._people.end()
        await self._formers.end()

    async def _asked(
        self, message: Msg, request: claims.Request, question: decisions.AskToken | decisions.AskAddress, begun: float
    ) -> None:
        crowd = self._people if isinstance(question, decisions.AskToken) else self._formers
        try:
            async with timeout(DECIDE_SECONDS), crowd.turns:
                verdict = await self._asked_of_kubernetes(request, question)
        except (DirectPVError, TimeoutError) as error:
            why = f"Kubernetes cannot be asked about it: {str(error) or 'no answer in time'}"
            self._undecided(request, why, begun)
            return
        await self._answer(message, request, verdict, begun)

    async def _asked_of_kubernetes(
        self, request: claims.Request, question: decisions.AskToken | decisions.AskAddress
    ) -> decisions.Admitted | decisions.Refused:
        if isinstance(question, decisions.AskToken):
            return await self._person(question.token, self._now(request))
        if question.then is None:
            return await admitted_former(self._answers, request.kind, request.name, question.host, self._subjects)
        return question.then if await clear_at(self._answers, question.host) else decisions.Refused(decisions.IN_CLEAR)

    async def _person(self, token: str, now: int) -> decisions.Admitted | decisions.Refused:
        status = await self._answers.review(token)
        if why := unaccepted(status):
            return decisions.Refused(f"shows a token that Kubernetes does not accept: {why}")
        account = account_of(status.get("user") or {}, self._namespace)
        return decisions.person(token, account, self._subjects, now)

    async def _answer(
        self, message: Msg, request: claims.Request, verdict: decisions.Admitted | decisions.Refused, begun: float
    ) -> None:
        now, issuer = self._now(request), self._issuers.get(request.issuer, self._issuer)
        if isinstance(verdict, decisions.Admitted):
            name, access, expires = verdict
            log.debug("let in", extra={"who": name, "host": request.host})
            reply = claims.admission(request, access, issuer, name=name, now=now, expires=expires)
            outcome, role = "admitted", name.partition(" ")[0]
        else:
            self._tell(request, verdict.why)
            reply = claims.refusal(request, verdict.why, issuer, now=now)
            outcome, role = "refused", _shown(request)
        await message._client.publish(message.reply, reply)
        self._count(outcome, role, monotonic() - begun)

    def _undecided(self, request: claims.Request, why: str, begun: float) -> None:
        self._tell(request, why)
        self._count("undecided", _shown(request), monotonic() - begun)

    @staticmethod
    def _now(request: claims.Request) -> int:
        """Return the time by the clock that will end the connection: that of the server, whatever ours says."""
        return request.now or int(time())

    def _tell(self, request: claims.Request, why: str) -> None:
        """Log that somebody does not come in; not each time, for he may try once a second."""
        about, now = (request.host, " ".join(why.split()[:3])), monotonic()  # the rest may be of his own making
        if now - self._told.get(about, -TELL_AGAIN_SECONDS) < TELL_AGAIN_SECONDS:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[about] = now
        log.warning("not let in", extra={"host": request.host, "who": request.name, "kind": request.kind, "why": why})


def _shown(request: claims.Request) -> str:
    """Return what somebody was who was not let in, as far as he said: for figures, so one of a few words."""
    if request.token:
        return "person"
    if not request.nkey:
        return "former"
    return "node" if request.kind == decisions.LEAF else "stranger"
