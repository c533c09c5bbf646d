"""A lease that ran out stays so, though nobody else took it: what was decided meanwhile was never committed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from directpv_common.crd.shape import EPOCH
from directpv_controller.registry.kubernetes import election as kubernetes
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.sqlite import election as sqlite
from directpv_controller.registry.sqlite.election import SqliteLease

TTL = 0.03


class Store:
    """An election whose store takes each renewal."""

    ttl, resource = TTL, None

    def __init__(self) -> None:
        self.renewed = 0
        self.while_renewing: Callable[[], None] = lambda: None
        self.client = self

    async def ask(self, job: object) -> None:
        self.renewed += 1
        self.while_renewing()

    async def replace(self, resource: object, wanted: dict[str, Any], within: float) -> dict[str, Any]:
        await self.ask(None)
        return wanted

    def answered(self) -> None:
        """It did."""


class Clock:
    seconds = 1_000.0


def sqlite_lease(store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SqliteLease:
    monkeypatch.setattr(sqlite, "now_ns", lambda: int(clock.seconds * 1e9))
    return SqliteLease(store, "me", 7, TTL, int(clock.seconds * 1e9))


def kubernetes_lease(store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> KubernetesLease:
    monkeypatch.setattr(kubernetes, "now", lambda: clock.seconds)
    stored = {"metadata": {"annotations": {EPOCH: "7"}}, "spec": {}}
    return KubernetesLease(store, stored, clock.seconds)


KINDS = pytest.mark.parametrize("lease_of", [sqlite_lease, kubernetes_lease])


async def kept(lease: Any, clock: Clock, later: float) -> str:
    """Return why the leadership ended, with the clock so much later when the first pause is over."""
    keeping = asyncio.create_task(lease.keep())
    await asyncio.sleep(0)
    clock.seconds += later
    async with asyncio.timeout(20):
        return str(await keeping)


@KINDS
async def test_a_leader_that_was_paused_does_not_renew_what_ran_out(
    lease_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = Store(), Clock()
    lease = lease_of(store, clock, monkeypatch)
    assert lease.valid

    assert "could not be renewed" in await kept(lease, clock, 10 * TTL)
    assert (store.renewed, lease.valid) == (0, False)


@KINDS
async def test_a_renewal_that_is_answered_after_the_lease_ran_out_does_not_bring_it_back(
    lease_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was asked for in time, and would reach beyond this moment."""
    store, clock = Store(), Clock()
    lease = lease_of(store, clock, monkeypatch)

    def paused() -> None:
        clock.seconds += TTL / 2

    store.while_renewing = paused
    assert "could not be renewed" in await kept(lease, clock, 0.7 * TTL)
    assert (store.renewed, lease.valid) == (1, False)
