"""Runs a module and measures the longest block of its event loop: ``python -m bench.watched FILE MODULE``.

The time between two looks of the loop at its files is what nobody is answered in. SIGUSR2 begins anew; the figure, in
seconds, is written to the file each time it grows.
"""

import runpy
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any


class Watched(selectors.EpollSelector):
    """Notes when it is asked, and when it has answered."""

    longest = 0.0
    file: Path
    _since = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Wait for files, as the loop asks."""
        blocked = time.perf_counter() - self._since
        if self._since and blocked > Watched.longest:
            Watched.longest = blocked
            Watched.file.write_text(f"{blocked}")
        events = super().select(timeout)
        self._since = time.perf_counter()
        return events


def main() -> None:
    """Run the module with the watched selector in every loop."""
    Watched.file = Path(sys.argv[1])

    def again(*_: object) -> None:
        Watched.longest = 0.0
        Watched.file.write_text("0")

    again()
    signal.signal(signal.SIGUSR2, again)
    selectors.DefaultSelector = Watched  # type: ignore[misc, assignment]
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
