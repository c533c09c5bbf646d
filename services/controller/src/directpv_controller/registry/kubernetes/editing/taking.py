"""What taking in edits of drives and volumes has in common: work in the background, telling what was put back."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from directpv_common import crd
from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import detached
from directpv_common.crd import Object
from directpv_common.protocol.errors import Busy, DirectPVError, InvalidRequest, Unavailable
from directpv_controller.core.editing.edits import not_taken
from directpv_controller.core.placing.model import Change
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.kubernetes.keeping.registry import KubernetesRegistry

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 1.0
NOT_HERE: Final = "not changed by an edit; the object was put back"


class Taking:
    """One kind of object, for one term of leadership."""

    def __init__(self, registry: KubernetesRegistry, term: Term, nodes: Nodes) -> None:
        self._registry, self._shelf = registry, registry.shelf
        self._term, self._ledger, self._nodes = term, term.ledger, nodes
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Awaitable[None], again: Callable[[], None] | None = None) -> None:
        """Do it in the background; if it cannot be done just now, call ``again`` after a while."""
        task = asyncio.create_task(_insisted(work, again), context=detached())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def commit(self, change: Change, again: Callable[[], None] | None = None) -> None:
        """Queue the commit now, in the order of decisions, and wait for it in the background."""
        with contextlib.suppress(Unanswered):
            self.run(self._term.commit(change), again)

    def stop(self) -> None:
        """End what runs in the background."""
        for task in tuple(self._tasks):
            task.cancel()

    def fenced(self, obj: Object) -> bool:
        """Tell whether somebody else leads: a later epoch wrote the object."""
        epoch = crd.epoch_of(obj)
        if epoch is None or epoch <= self._term.fence.epoch:
            return False
        self._term.resign(f"{obj['metadata']['name']} was written in epoch {epoch}")
        return True

    def tell_not_taken(
        self, noun: str, name: str, theirs: Struct, taken: Struct, ignored: frozenset[str] = frozenset()
    ) -> None:
        """Tell which fields of ``theirs`` are put back."""
        if fields := not_taken(theirs, taken, ignored=ignored):
            self.tell_refused(noun, name, ", ".join(fields), NOT_HERE)

    def tell_refused(self, noun: str, name: str, fields: str, why: str) -> None:
        """Tell that these fields are put back, and why."""
        log.warning("edit refused", extra={"object": name, "fields": fields, "why": why})
        self._term.events.emit(noun, "edit-refused", name, fields=fields, why=f"{fields}: {why}")

    def tell_odd(self, noun: str, name: str, odd: str) -> None:
        """Tell of an epoch that no leader can have."""
        why = f"epoch {odd[:40]} is nobody's: it is ignored, and the object is written again"
        log.error("epoch ignored", extra={"object": name, "why": why})
        self._term.events.emit(noun, "epoch-ignored", name, why=why)

    def nonsense(self, noun: str, name: str, error: InvalidRequest) -> None:
        """Tell that an object cannot be understood."""
        log.error("object makes no sense", extra={"object": name, "why": error.message})
        self._term.events.emit(noun, "unreadable", name, why=error.message)

    def recreated(self, noun: str, name: str) -> None:
        """See :class:`~.notice.Notice`."""
        log.warning("object was deleted; it is made again", extra={"what": f"{noun} {name}"})
        self._term.events.emit(noun, "recreated", name)


async def _insisted(work: Awaitable[None], again: Callable[[], None] | None) -> None:
    try:
        await work
    except Unanswered:
        pass
    except DirectPVError as error:
        log.warning("edit not taken in", extra={"error": error.message, "again": again is not None})
        if again is not None and isinstance(error, Busy | Unavailable):
            await asyncio.sleep(AGAIN_SECONDS)
            again()
