"""Logs: one JSON object per line off a terminal, readable lines on one."""

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TextIO

import orjson

from directpv_common.calls.context import trace
from directpv_common.process.redact import redacted

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

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        span = trace()
        line: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= extras(record)
        if span is not None:
            line["trace_id"] = span.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except orjson.JSONEncodeError:  # a number of more than 64 bits, or words that are no Unicode
            return json.dumps(line, default=str, skipkeys=True)

    def _time(self, record: logging.LogRecord) -> str:
        """Return RFC 3339 in UTC; the text of a second is made once."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self._second[1]}.{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """Time, level, message, then extras as ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        pairs = "".join(f" {key}={value}" for key, value in extras(record).items())
        text = f"{when} {record.levelname:<7} {record.name.rpartition('.')[2]}: {record.getMessage()}{pairs}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class Writer(logging.Handler):
    """Formats a record where it arises, and writes many at once in a thread of its own.

    A reader of our output that hangs must not stop an event loop; and waking the thread for each line would cost
    more than the line.
    """

    def __init__(self, sink: TextIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._sink = sink
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._some = threading.Event()
        self._busy = False
        threading.Thread(target=self._write, daemon=True, name="log").start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line, without passwords in addresses; the oldest are dropped when nobody reads."""
        self._waiting.append(redacted(self.format(record)))
        if not self._some.is_set():
            self._some.set()

    def _write(self) -> None:
        while True:
            self._some.wait()
            time.sleep(LINGER_SECONDS)
            self._some.clear()
            self._busy = True  # before anything is taken out: ``drain`` looks at both
            lines = "".join(f"{self._waiting.popleft()}\n" for _ in range(len(self._waiting)))
            with contextlib.suppress(OSError, ValueError):
                self._sink.write(lines)
                self._sink.flush()
            self._busy = False

    def drain(self) -> None:
        """Let what was logged be written before the process ends, unless nobody reads."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while (self._waiting or self._busy) and time.monotonic() < deadline:
            time.sleep(LINGER_SECONDS / 4)


def configure_logging(env: Mapping[str, str] | None = None) -> None:
    """Send the root logger to standard error; level from ``DIRECTPV_LOG_LEVEL`` (default INFO)."""
    writer = Writer(sys.stderr, TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    atexit.register(writer.drain)
    level = (os.environ if env is None else env).get("DIRECTPV_LOG_LEVEL", "INFO").upper()
    known = level in logging.getLevelNamesMapping()
    logging.basicConfig(level=level if known else "INFO", handlers=[writer], force=True)
    # Python's logging HOWTO, "Optimization": facts that no line of ours shows need not be gathered.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
