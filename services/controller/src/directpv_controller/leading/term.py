"""One term of leadership: the memory, and the only way by which a decision becomes durable."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.bus.bus import Bus
from directpv_common.bus.events import Events
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import step
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError, Fenced, Unavailable
from directpv_controller.core.placing.model import Change
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.leading.port import Lease, OutcomeUnknown, Registry, RegistryDamaged, RegistryLost

log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 20.0
"""A disk that hangs for longer costs the leadership; normally the lease is lost long before."""

IDLE_SECONDS: Final = 2.0
"""Reconciliation commits in milliseconds; after so long the caller is told to repeat."""
IDLE_PAUSE: Final = 0.002


class Resigned(Exception):
    """This process leads no longer; the text says why."""


class Term:
    """What everybody shares while this process leads."""

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        lease: Lease,
        bus: Bus,
        events: Events,
        *,
        cordon_predicted: bool = False,
    ) -> None:
        self.ledger = ledger
        self.cordon_predicted = cordon_predicted
        """Whether drives whose disks expect to fail are cordoned."""
        self.bus = bus
        self.events = events
        self.fence = m.Fence(registry=registry.id, epoch=lease.epoch)
        self.since = time.monotonic()
        self.settled = asyncio.Event()
        """Set once all nodes had the time to report their drives; at once unless the registry is new."""
        self._registry = registry
        self._lease = lease
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def require_lead(self) -> None:
        """Stop a handler that may no longer answer: its caller asks again and finds the new leader.

        The first look at a lease that has run out ends the term, whoever looks: somebody else may have led since,
        and a decision that was made meanwhile was never queued.

        Raises:
            Unanswered: This process leads no longer.
        """
        if not self._lease.valid:
            self.resign("the lease ran out before it was renewed")
        if self._over.done():
            raise Unanswered

    def resign(self, why: str) -> None:
        """End the term; memory may differ from the registry."""
        if not self._over.done():
            self._over.set_result(why)

    async def over(self) -> None:
        """Wait for the end of the term.

        Raises:
            Resigned: Always.
        """
        raise Resigned(await self._over)

    def commit(self, change: Change | None) -> Coroutine[None, None, None]:
        """Queue a decision at once, and return what waits for it to be durable, with this process still leading.

        Call it in the same step as the decision, with no await in between: order of commits is order of decisions.

        Raises:
            Unanswered: This process leads no longer, or (when awaited) does not know whether it is durable.
            Unavailable: When awaited: the registry certainly did not take it; memory is as before.
        """
        try:
            self.require_lead()
        except Unanswered:
            if change is not None:
                change.undo()
            raise
        if change is None:
            return _nothing()
        return self._committed(change, self._registry.commit(change.writes, self._lease))

    async def _committed(self, change: Change, outcome: Awaitable[None]) -> None:
        try:
            with step("commit"):
                async with timeout(COMMIT_SECONDS):
                    await outcome
        except (Fenced, RegistryLost, RegistryDamaged, OutcomeUnknown, TimeoutError) as error:
            why = str(error) or f"a commit took longer than {COMMIT_SECONDS:g} s"
            self.resign(why)
            raise Unanswered(why) from error
        except Unavailable:
            change.undo()
            raise
        except DirectPVError as error:
            self.resign(f"commit failed: {error}")
            raise Unanswered(str(error)) from error
        change.done()
        self.require_lead()

    def show(self, volumes: Iterable[m.VolumeRecord]) -> None:
        """Let people see where these volumes are mounted now, if the registry shows such things."""
        self._registry.show(volumes)

    async def idle(self, name: str) -> None:
        """Wait while somebody else's change of volume ``name`` is being committed, for some seconds at most."""
        deadline = time.monotonic() + IDLE_SECONDS
        while name in self.ledger.busy and time.monotonic() < deadline:  # noqa: ASYNC110 - rare, and over in a moment
            await asyncio.sleep(IDLE_PAUSE)

    async def settle(self) -> None:
        """Note that the nodes had time to report; the registry needs no rebuilding any more."""
        await self._registry.rebuilt(self._lease)
        self.settled.set()


async def _nothing() -> None:
    """Wait for nothing."""
