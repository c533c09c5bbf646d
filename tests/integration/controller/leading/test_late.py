"""A term that does not end though its lease has says what it waits for: until then nobody of its process leads."""

import asyncio
import contextlib

import pytest

from directpv_controller import candidate


async def test_what_a_term_still_waits_for_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def lost() -> str:
        return "the lease has ended"

    monkeypatch.setattr(candidate, "LATE_SECONDS", 0.01)
    stuck = asyncio.create_task(asyncio.Event().wait(), name="never ends")
    await asyncio.wait_for(candidate._told_if_late(asyncio.create_task(lost())), 5)
    stuck.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stuck
    (record,) = [each for each in caplog.records if "a term does not end" in each.message]
    assert any(each.startswith("never ends: ") for each in record.waiting)  # type: ignore[attr-defined]
