"""A term of leadership: what is decided is committed, or taken back."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest

from directpv_common.bus.service import Unanswered
from directpv_common.calls.context import call_context, remaining
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.core.placing.model import Snapshot, Writes
from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.leading.term import Resigned, Term
from directpv_controller.nodes.nodes import Nodes
from unit.controller.builders import NOW, drive_record, request


class Lease:
    """One whose time the test decides."""

    epoch = 7
    valid = True


class Registry:
    """Keeps what was committed, and takes it at once."""

    id = "registry"

    def __init__(self) -> None:
        self.committed: list[Writes] = []

    async def commit(self, writes: Writes, lease: Lease) -> None:
        self.committed.append(writes)

    def show(self, volumes: Iterable[VolumeRecord]) -> None:
        """Nobody looks."""


def term_of(lease: Lease, registry: Registry) -> Term:
    ledger = Ledger.load(Snapshot([drive_record()], []), random.random)
    nobody: Any = None
    return Term(ledger, registry, lease, nobody, nobody)  # type: ignore[arg-type]


async def test_a_decision_that_meets_a_lease_which_ran_out_is_taken_back_and_ends_the_term() -> None:
    lease, registry = Lease(), Registry()
    term = term_of(lease, registry)
    _, change = term.ledger.place(wanted_from(request()), now=NOW)
    lease.valid = False

    with pytest.raises(Unanswered):
        term.commit(change)
    assert (registry.committed, dict(term.ledger.volumes), term.ledger.busy) == ([], {}, set())
    assert term.ledger.check() == []


async def test_a_lease_that_ran_out_once_ends_the_term_even_if_it_is_seen_valid_again() -> None:
    lease = Lease()
    term = term_of(lease, Registry())
    lease.valid = False
    with pytest.raises(Unanswered):
        term.require_lead()
    lease.valid = True

    with pytest.raises(Unanswered):
        term.require_lead()
    with pytest.raises(Resigned, match="ran out"):
        await term.over()


async def test_what_a_call_leaves_to_be_done_in_the_background_has_no_deadline_of_that_call() -> None:
    seen: list[float] = []
    done = asyncio.Event()

    async def work() -> None:
        seen.append(remaining(99.0))
        done.set()

    nodes = Nodes(term_of(Lease(), Registry()), online_seconds=0)
    async with nodes._group:
        with call_context(within=0.001, traceparent=None):
            nodes._spawn(work())
        await done.wait()
    assert seen == [99.0]
