"""A folder for the output of one run."""

import fcntl
from pathlib import Path
from typing import IO


def own_folder(wanted: Path) -> tuple[IO[str], Path]:
    """Return the folder, or one beside it while another run has that; it is held until the file is closed."""
    folder, number = wanted, 1
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        else:
            return lock, folder
