"""How operations reach a drive: in its threads, with a limit, and with its faults told from others'."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_nodeagent.drives.filesystem.xfs import DEAD
from directpv_nodeagent.drives.taken.drives import Drives, Emit
from directpv_nodeagent.drives.taken.turns import Turn, Turns
from directpv_nodeagent.layout.core.held import Drive

T = TypeVar("T")

WORK_SECONDS: Final = 20.0
"""A mount, a mkdir, an fsync: what takes longer hangs."""


@dataclass(frozen=True)
class Work:
    """What operations on drives need."""

    drives: Drives
    turns: Turns
    emit: Emit

    async def on(
        self, turn: Turn, drive: Drive, fn: Callable[[], T], what: str, within: float = WORK_SECONDS, *, lane: str = ""
    ) -> T:
        """Call blocking ``fn`` in the drive's threads.

        Args:
            turn: The right to do so.
            drive: The drive.
            fn: What to call.
            what: The operation, in words for errors.
            within: Seconds that it may take.
            lane: Threads of its own for what takes long, so that nothing else of the drive waits for it; a word.

        Raises:
            DriveFault: It did not end in time, or the drive failed; the drive is in Error then.
            FailedPrecondition: There is no space left on the drive.
            DirectPVError: What ``fn`` raised.
        """
        try:
            return await turn.run(f"{lane} {drive.fsuuid}".strip(), fn, within, what)
        except OSError as error:
            raise self.explained(drive, what, error) from error

    def explained(self, drive: Drive, what: str, error: OSError) -> DriveFault | FailedPrecondition:
        """Return the error for what the kernel said; a drive that failed is noted as such."""
        said = f"{what} on {drive.describe()} failed: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return FailedPrecondition(f"{said}; the drive is full")
        if error.errno in DEAD:
            self.drives.fault(drive, said)
        return DriveFault(said)
