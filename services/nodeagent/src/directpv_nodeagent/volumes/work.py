"""What operations on volumes need beside what those on drives do."""

from dataclasses import dataclass

from directpv_common.protocol.errors import Busy, DriveFault, NotFound
from directpv_nodeagent.drives.taken.turns import Turn
from directpv_nodeagent.drives.taken.work import WORK_SECONDS, Work
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.volumes import binding
from directpv_nodeagent.volumes.binding import Outcome


@dataclass(frozen=True)
class VolumeWork(Work):
    """How operations on volumes reach their drives, and what came of them is noted."""

    stand_in: str
    """``major:minor`` of what suspended volumes show."""

    @property
    def root(self) -> str:
        """The agent's root directory."""
        return self.drives.host.root

    def holder(self, name: str, path: str) -> Drive:
        """Return the drive that has the volume; of several with that name, the one that shows it at ``path``.

        Raises:
            NotFound: None of this node has.
            FailedPrecondition: There are only copies of it, or nobody knows which one is the volume.
            Unavailable: Nobody knows it yet.
        """
        drive = self.drives.holder_at(name, path)
        if drive is None:
            raise NotFound(f"no drive of node {self.drives.host.node} has volume {name}")
        return drive

    def require_unsealed(self, name: str) -> None:
        """Refuse to show a volume of which all was copied to another drive, while it is decided which one has it.

        Raises:
            Busy: Repeat a moment later.
        """
        holders = self.drives.holders(name)
        sealed = [drive for drive in holders if name in drive.sealed]
        if sealed and len(holders) == len(sealed):
            other = sealed[0].strays.get(name, "")
            raise Busy(
                f"{name} was copied to drive {other}, and waits for the controller to say that it is there; repeat a "
                "little later. If that disk is away, plug it in; if it is gone for good, kubectl directpv remove "
                f"--lost {other} gives up what was written there last"
            )

    def note(self, drive: Drive, name: str, outcome: Outcome, kind: str, **data: object) -> None:
        """Take in where a volume is mounted now, and tell of it if something was done."""
        news = name in drive.volumes and drive.set_use(name, outcome.use(drive.use(name)))
        if outcome.mounted:
            drive.flags[outcome.path] = outcome.flags
        else:
            drive.flags.pop(outcome.path, None)
        if outcome.project is not None:
            drive.projects[name] = outcome.project
        if outcome.changed:
            self.emit("volume", kind, name, drive=drive.fsuuid, **data)
        if news:
            self.drives.on_change()

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
