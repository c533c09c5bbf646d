"""How operations on volumes reach a drive: in its threads, with a limit, and with its faults told from others'."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from directpv_common.errors import DriveFault, FailedPrecondition, NotFound
from directpv_nodeagent.adapters import binding
from directpv_nodeagent.adapters.binding import Outcome
from directpv_nodeagent.adapters.drives import Drives, Emit
from directpv_nodeagent.adapters.turns import Turn, Turns
from directpv_nodeagent.adapters.xfs import DEAD
from directpv_nodeagent.core.held import Drive

T = TypeVar("T")

WORK_SECONDS: Final = 20.0
"""A mount, a mkdir, an fsync: what takes longer hangs."""


@dataclass(frozen=True)
class Work:
    """What operations on volumes need."""

    drives: Drives
    turns: Turns
    emit: Emit
    stand_in: str
    """``major:minor`` of what suspended volumes show."""

    @property
    def root(self) -> str:
        """The agent's root directory."""
        return self.drives.host.root

    def holder(self, name: str) -> Drive:
        """Return the drive that has the volume.

        Raises:
            NotFound: None of this node has.
        """
        drive = self.drives.holder(name)
        if drive is None:
            raise NotFound(f"no drive of node {self.drives.host.node} has volume {name}")
        return drive

    def note(self, drive: Drive, name: str, outcome: Outcome, kind: str, **data: object) -> None:
        """Take in where a volume is mounted now, and tell of it if something was done."""
        news = name in drive.volumes and drive.set_use(name, outcome.use)
        if outcome.project is not None:
            drive.projects[name] = outcome.project
        if outcome.changed:
            self.emit("volume", kind, name, drive=drive.fsuuid, **data)
        if news:
            self.drives.on_change()

    async def on(self, turn: Turn, drive: Drive, fn: Callable[[], T], what: str, within: float = WORK_SECONDS) -> T:
        """Call blocking ``fn`` in the drive's threads.

        Raises:
            DriveFault: It did not end in time, or the drive failed; the drive is in Error then.
            FailedPrecondition: There is no space left on the drive.
            DirectPVError: What ``fn`` raised.
        """
        try:
            return await turn.run(drive.fsuuid, fn, within, what)
        except OSError as error:
            raise self.explained(drive, what, error) from error

    async def stand_in_at(self, turn: Turn, drive: Drive, name: str, path: str, field: str) -> Outcome:
        """Show an empty directory for a suspended volume; the drive, which may have failed or hang, is not touched.

        Raises:
            DriveFault: It cannot be mounted there.
            FailedPrecondition: The path is occupied, or there is no such directory.
        """
        view, stand_in = drive.view, self.stand_in
        try:
            return await turn.run(
                f"stand-ins of {drive.fsuuid}",
                lambda: binding.show_stand_in(view, name, path, stand_in, field),
                WORK_SECONDS,
                f"showing nothing for {name}",
            )
        except OSError as error:
            raise DriveFault(f"{name}: {path}: {error.strerror or error}") from error

    def explained(self, drive: Drive, what: str, error: OSError) -> DriveFault | FailedPrecondition:
        """Return the error for what the kernel said; a drive that failed is noted as such."""
        said = f"{what} on {drive.describe()} failed: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return FailedPrecondition(f"{said}; the drive is full")
        if error.errno in DEAD:
            self.drives.fault(drive, said)
        return DriveFault(said)
