"""Logs: one JSON object per line off a terminal, readable lines on one."""

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from directpv_common.context import trace

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


MAX_WAITING: Final = 100_000
"""Records that wait for a slow reader; more are dropped."""
FLUSH_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 0.02
"""Lines of so short a time are written at once."""


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


class Writer(threading.Thread):
    """Writes records in a thread of its own, many at once: a reader of our output that hangs stops no event loop."""

    def __init__(self, sink: TextIO, formatter: logging.Formatter) -> None:
        super().__init__(daemon=True, name="log")
        self._sink = sink
        self._formatter = formatter
        self._waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._idle = True

    def hand_over(self, record: logging.LogRecord) -> None:
        """Queue ``record``; drop it when nobody reads: memory is bounded."""
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(record)

    def run(self) -> None:
        """Write what waits, until the process ends."""
        while True:
            records = [self._waiting.get()]
            self._idle = False
            time.sleep(LINGER_SECONDS)
            while not self._waiting.empty():
                records.append(self._waiting.get())
            with contextlib.suppress(OSError, ValueError):
                self._sink.write("".join(f"{self._formatter.format(record)}\n" for record in records))
                self._sink.flush()
            self._idle = self._waiting.empty()

    def drain(self) -> None:
        """Let what was logged be written before the process ends, unless nobody reads."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while not (self._idle and self._waiting.empty()) and time.monotonic() < deadline:
            time.sleep(LINGER_SECONDS / 4)


class _Handover(logging.Handler):
    """Gives records to the writer, with what only the caller's task knows."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Add the trace; formatting is left to the writer."""
        span = trace()
        if span is not None:
            record.trace_id = span.trace_id
        self._writer.hand_over(record)


def configure_logging(env: Mapping[str, str] | None = None) -> None:
    """Send the root logger to standard error; level from ``DIRECTPV_LOG_LEVEL`` (default INFO)."""
    writer = Writer(sys.stderr, TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    writer.start()
    atexit.register(writer.drain)
    level = (os.environ if env is None else env).get("DIRECTPV_LOG_LEVEL", "INFO").upper()
    known = level in logging.getLevelNamesMapping()
    logging.basicConfig(level=level if known else "INFO", handlers=[_Handover(writer)], force=True)
    # Python's logging HOWTO, "Optimization": facts that no line of ours shows need not be gathered.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
