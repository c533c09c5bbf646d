"""Logs: one JSON object per line off a terminal, readable lines on one."""

import atexit
import logging
import logging.handlers
import os
import queue
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from directpv_common.context import trace

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


MAX_WAITING: Final = 100_000
"""Records that wait for a slow reader; more are dropped."""
FLUSH_SECONDS: Final = 1.0


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller passed as ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One line of JSON per record: time, level, logger, message, extras, and the trace id of the call."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """Time, level, message, then extras as ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        pairs = "".join(f" {key}={value}" for key, value in extras(record).items())
        text = f"{when} {record.levelname:<7} {record.name.rpartition('.')[2]}: {record.getMessage()}{pairs}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Handover(logging.handlers.QueueHandler):
    """Hands records to the thread that writes them: a reader of our output that hangs must not stop the event loop."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Add what only the caller's task knows; formatting is left to the thread."""
        span = trace()
        if span is not None:
            record.trace_id = span.trace_id
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Drop the record when nobody reads: memory is bounded."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


def _flush(waiting: queue.Queue[logging.LogRecord]) -> None:
    """Let what was logged be written before the process ends, unless nobody reads."""
    deadline = time.monotonic() + FLUSH_SECONDS
    while waiting.unfinished_tasks and time.monotonic() < deadline:
        time.sleep(0.005)


def configure_logging(env: Mapping[str, str] | None = None) -> None:
    """Send the root logger to standard error; level from ``DIRECTPV_LOG_LEVEL`` (default INFO)."""
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    writer = logging.handlers.QueueListener(waiting, sink)
    writer.start()
    atexit.register(_flush, waiting)
    level = (os.environ if env is None else env).get("DIRECTPV_LOG_LEVEL", "INFO").upper()
    known = level in logging.getLevelNamesMapping()
    logging.basicConfig(level=level if known else "INFO", handlers=[_Handover(waiting)], force=True)
    # Python's logging HOWTO, "Optimization": facts that no line of ours shows need not be gathered.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
