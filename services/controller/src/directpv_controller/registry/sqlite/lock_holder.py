"""Who writes to a SQLite file at this moment, as the kernel tells it.

A process that was stopped within a commit keeps the lock, and nobody can follow it until it goes on or is ended: the
lock is the kernel's, not ours. Source: SQLite, "WAL-mode File Format" (the write lock is byte 120 of the ``-shm``
file); proc_locks(5). The file itself is not opened for this: closing it would give up all locks of this process.
"""

import os
from pathlib import Path
from typing import Final

WRITE_LOCK: Final = 120
_LOCKS: Final = Path("/proc/locks")


def writer_of(path: Path) -> int:
    """Return the process id of who has the write lock of the database ``path``; 0: nobody, or nobody we can see."""
    try:
        status = os.stat(f"{path}-shm")
        text = _LOCKS.read_text()
    except OSError:
        return 0
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return next((pid for line in text.splitlines() if (pid := _holder(line, place))), 0)


def _holder(line: str, place: str) -> int:
    """Return whose write lock a line of the table tells of, if that is of the file ``place``; else 0."""
    words = line.split()  # number, POSIX, ADVISORY, WRITE, pid, device:inode, first byte, last byte
    if len(words) != 8 or words[1] != "POSIX" or words[3] != "WRITE" or words[5] != place:
        return 0
    first, last = int(words[6]), WRITE_LOCK if words[7] == "EOF" else int(words[7])
    return max(0, int(words[4])) if first <= WRITE_LOCK <= last else 0


def described(pid: int) -> str:
    """Return name and id of a process, and that it was stopped, if it was."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").partition("(")  # a name is any bytes
    except OSError:
        return f"process {pid}"
    name, _, facts = rest.rpartition(")")
    stopped = ", which is stopped" if facts.split()[:1] in (["T"], ["t"]) else ""
    return f"process {pid} ({name}){stopped}"
