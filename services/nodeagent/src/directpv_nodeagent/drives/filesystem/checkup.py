"""Looks at a mounted drive from inside: whether it lives, has space, and can be written. Blocks.

A disk whose writes fail does not tell its file system before something is written and synced. So a drive that was
written to since, or whose disk counted errors, is *proven* now and then: one small file is written and synced. A drive
that rests is left to rest.
"""

import contextlib
import errno
import os
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.sysfs import Roots, read_io_stats, read_text
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.layout import ballast
from directpv_nodeagent.layout.core.layout import META_DIR, PROOF_FILE
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.linux import files
from directpv_nodeagent.linux.core.own_faults import is_own

PROOF_SECONDS: Final = 30.0
"""How often a drive that is written to is proven."""
_OWN_WRITES: Final = 16
"""Writes that a proof itself causes, at once and when the log is covered later: no reason for another one."""
_NO_FAULT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT})
"""A drive that is full, read-only or half laid out is told of by others."""
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Look(NamedTuple):
    """What was seen."""

    alive: bool
    free: int
    """Bytes that the file system can still give."""


@dataclass
class _Proof:
    at: float = 0.0
    writes: int = 0
    errors: int = 0


def _keep_ballast(view: DriveView) -> None:
    """Take back the room for records that was given up when the drive was full; a failure of that is no fault."""
    with contextlib.suppress(OSError), files.opened(view.path) as root:
        ballast.keep(root)


class Checkup:
    """Looks at drives; remembers when each was proven."""

    def __init__(self) -> None:
        self._roots = Roots()
        self._proofs: dict[str, _Proof] = {}

    def look(self, view: DriveView) -> Look:
        """Look at a drive, which is mounted.

        Raises:
            DriveFault: It lives, but cannot be written.
            OSError: The agent has run out of something (:mod:`..linux.core.own_faults`).
        """
        if not xfs.is_alive(view.path, view.device):
            return Look(False, 0)
        if self._is_due(view):
            try:
                self._prove(view)
            except OSError as error:
                if is_own(error):
                    raise
                if xfs.is_alive(view.path, view.device) and error.errno not in _NO_FAULT:
                    raise DriveFault(f"{view.name} cannot be written: {error.strerror}") from error
        alive = xfs.is_alive(view.path, view.device)
        if alive:
            _keep_ballast(view)
        return Look(alive, xfs.free_bytes(view.path) if alive else 0)

    def _is_due(self, view: DriveView) -> bool:
        writes, errors = self._counted(view.name)
        proof = self._proofs.setdefault(view.fsuuid, _Proof(monotonic(), writes, errors))
        if errors != proof.errors:
            return True
        written = not 0 <= writes - proof.writes <= _OWN_WRITES
        return written and monotonic() - proof.at >= PROOF_SECONDS

    def _prove(self, view: DriveView) -> None:
        with files.opened(view.path) as root, files.opened(META_DIR, root) as meta:
            descriptor = os.open(PROOF_FILE, _FLAGS, 0o640, dir_fd=meta)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._proofs[view.fsuuid] = _Proof(monotonic(), *self._counted(view.name))

    def _counted(self, device: str) -> tuple[int, int]:
        """Return how many writes the device has done, and how many errors its SCSI layer counted; 0 if unknown."""
        stats = read_io_stats(self._roots, device)
        errors = read_text(self._roots.block(device) / "device/ioerr_cnt")
        try:
            return stats.writes if stats else 0, int(errors or "0", 16)
        except ValueError:
            return stats.writes if stats else 0, 0
