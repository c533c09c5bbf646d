"""What a service writes about itself."""

import json
import subprocess
import sys


def lines_of(program: str) -> list[dict]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stderr.splitlines()]


SETUP = """
import asyncio, logging
from directpv_common.calls.context import call_context
from directpv_common.process.logs import configure_logging
configure_logging({"DIRECTPV_LOG_LEVEL": "info"})
log = logging.getLogger("test")
"""


def test_off_a_terminal_each_record_is_a_line_of_json_with_its_extras():
    (line,) = lines_of(SETUP + 'log.info("staged", extra={"volume": "pvc-1", "seconds": 0.5})')

    assert {key: line[key] for key in ("level", "logger", "message", "volume", "seconds")} == {
        "level": "info",
        "logger": "test",
        "message": "staged",
        "volume": "pvc-1",
        "seconds": 0.5,
    }


def test_a_record_carries_the_trace_of_its_call_and_what_comes_last_is_not_lost():
    program = (
        SETUP
        + """
async def main():
    with call_context(within=None, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        log.info("inside")
    log.info("outside")
asyncio.run(main())
"""
    )
    inside, outside = lines_of(program)

    assert inside["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in outside


def test_an_exception_is_one_line_with_its_traceback():
    program = SETUP + "\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('broken')"
    (line,) = lines_of(program)

    assert "ZeroDivisionError" in line["exception"]


def test_what_is_below_the_level_is_not_written():
    assert lines_of(SETUP + 'log.debug("detail")') == []


def test_what_cannot_be_written_as_json_is_written_as_text_and_the_next_line_comes():
    extra = r'extra={"huge": 2**80, "word": b"\xff".decode(errors="surrogateescape"), "thing": {object}}'
    odd, after = lines_of(SETUP + f'log.info("odd", {extra})\nlog.info("after")')

    assert odd["huge"] == 2**80
    assert "object" in odd["thing"]
    assert after["message"] == "after"
