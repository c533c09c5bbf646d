"""A term of leadership without a bus: a lease that does not end, a registry that takes everything, events."""

from collections.abc import Awaitable, Callable
from typing import Any

from directpv_common.protocol.errors import Unavailable
from directpv_common.protocol.subjects import Subjects
from directpv_controller.core.placing.model import Writes
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.leading.term import Term


class Lease:
    """One that does not end."""

    epoch = 7
    valid = True


class Registry:
    """Takes everything, but for one drive: a policy of the cluster may refuse that."""

    id = "registry"

    def __init__(self, refused: str = "") -> None:
        self.refused = refused

    async def commit(self, writes: Writes, lease: Lease) -> None:
        touched = {record.fsuuid for record in (*writes.drives, *writes.volumes, *writes.removed)}
        if self.refused in touched:
            raise Unavailable("denied by a policy")

    def show(self, volumes: Any) -> None:
        """Nobody looks."""


class Events:
    """Heard by the test."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def emit(self, noun: str, kind: str, subject: str, **data: object) -> None:
        self.seen.append((noun, kind, subject))


class Deaf:
    """A bus on which nobody answers."""

    subjects = Subjects()

    async def subscribe(self, subject: str, callback: object) -> Callable[[], Awaitable[None]]:
        async def unsubscribe() -> None:
            """Nothing was heard."""

        return unsubscribe

    async def call(self, endpoint: object, request: object, **how: object) -> None:
        raise Unavailable("nobody answers")


def term_of(ledger: Ledger, events: Events, refused: str = "") -> Term:
    return Term(ledger, Registry(refused), Lease(), Deaf(), events)  # type: ignore[arg-type]
