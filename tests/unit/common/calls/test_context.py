"""Deadline and trace travel with a call."""

import asyncio

import pytest

from directpv_common.calls.context import (
    DEADLINE_HEADER,
    Trace,
    call_context,
    headers_for,
    remaining,
    trace,
    within_from,
)
from directpv_common.protocol.errors import DeadlineExceeded

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_continued_with_a_span_of_its_own():
    span = Trace.parse(PARENT)

    assert span.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert span.span_id != "b7ad6b7169203331"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT.upper(),
        PARENT + "\n",
    ],
)
def test_a_malformed_trace_begins_a_new_one(header):
    assert Trace.parse(header).trace_id != "0af7651916cd43dd8448eb211c80319c"


async def test_work_may_take_no_longer_than_its_caller_waits():
    with call_context(within=2.0, traceparent=None):
        assert 1.0 < remaining(60.0) <= 2.0
    assert remaining(60.0) == 60.0


async def test_work_whose_deadline_has_passed_is_not_begun():
    with call_context(within=0.0, traceparent=None), pytest.raises(DeadlineExceeded):
        remaining(60.0)


async def test_a_request_carries_what_is_left_and_the_trace_of_its_task():
    with call_context(within=5.0, traceparent=PARENT):
        headers = headers_for(1.5)

    assert within_from(headers) == 1.5
    assert headers["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("value", ["", "-1", "1.5", "soon", "١", pytest.param("9" * 5000, id="thousands of digits")])
def test_a_malformed_deadline_is_none(value):
    assert within_from({DEADLINE_HEADER: value}) is None


async def test_tasks_do_not_share_a_context():
    async def inner() -> str:
        with call_context(within=None, traceparent=None) as span:
            await asyncio.sleep(0)
            found = trace()
            assert found is not None
            assert found.trace_id == span.trace_id
            return found.trace_id

    first, second = await asyncio.gather(inner(), inner())
    assert first != second
    assert trace() is None
