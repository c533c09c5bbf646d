"""What ``nats micro stats`` says of an endpoint: time and errors of the work, not of handing it over (ADR-32)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.micro.service import EndpointStats


@dataclass
class Work:
    """One call that runs."""

    error: str = ""
    """Why it failed; empty if it did not."""


@dataclass
class Account:
    """Of one endpoint, since its service began."""

    begun: int = 0
    ended: int = 0
    errors: int = 0
    nanoseconds: int = 0
    """Of the calls that have ended, together."""
    last_error: str = ""

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Count the block as one call, however it ends; set ``error`` of what it gets if it fails."""
        self.begun += 1
        work, start = Work(), time.perf_counter_ns()
        try:
            yield work
        except BaseException as error:
            work.error = work.error or type(error).__name__
            raise
        finally:
            self.ended += 1
            self.nanoseconds += time.perf_counter_ns() - start
            if work.error:
                self.errors += 1
                self.last_error = work.error

    def tell(self, stats: "EndpointStats") -> dict[str, int]:
        """Put what is true into ``stats``, and return what stands there as ``data``."""
        stats.num_requests = self.begun
        stats.num_errors = self.errors
        stats.last_error = self.last_error
        stats.processing_time = self.nanoseconds
        stats.average_processing_time = self.nanoseconds // self.ended if self.ended else 0
        return {"running": self.begun - self.ended}
