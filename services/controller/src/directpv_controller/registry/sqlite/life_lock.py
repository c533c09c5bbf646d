"""A lock that says «the leader lives»: the kernel lets go of it the moment the process ends, however it ends.

The lease stays the rule. The lock only spares a standby the wait for a lease whose holder is certainly dead; a frozen
leader keeps the lock, and is replaced when its lease expires. Should the lock ever lie (a file system without flock),
the epoch still fences every write.

Source: flock(2): a lock is released when its last open file description is closed, as kill -9 does.
"""

import fcntl
import os
import threading
from pathlib import Path


class LifeLock:
    """The lock beside the registry file ``path``. May be used from any thread; nothing here waits for long."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.leader")
        self._held: int | None = None
        self._one_at_a_time = threading.Lock()

    def take(self) -> bool:
        """Try to hold it; tell whether it is held now.

        Raises:
            OSError: The file cannot be opened.
        """
        with self._one_at_a_time:
            if self._held is None:
                self._held = self._try()
            return self._held is not None

    def _try(self) -> int | None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return file

    def release(self) -> None:
        """Let go, if it is held."""
        with self._one_at_a_time:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def is_free(self) -> bool:
        """Tell whether nobody holds it: neither this process nor another that lives.

        Raises:
            OSError: The file cannot be opened.
        """
        with self._one_at_a_time:
            file = self._try() if self._held is None else None
            if file is not None:
                os.close(file)
            return file is not None
