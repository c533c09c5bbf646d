"""Why a drive that is ours, as far as can be seen, cannot be used."""

import errno

from directpv_common.protocol.messages import DriveRecord
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.core.refusals import refusal
from directpv_nodeagent.drives.core.states import Observation
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.linux.open_files import holders_of_device


class TakeOverFailed(Exception):
    """The drive is ours, as far as can be seen, but cannot be used."""

    def __init__(
        self, observation: Observation, message: str, record: DriveRecord | None = None, advice: str = ""
    ) -> None:
        super().__init__(message)
        self.observation = observation
        self.record = record
        """What the drive says about itself, or said when it was last seen here; None: nothing is known."""
        self.advice = advice
        """What to do, if that is not what helps whenever this is observed."""


class StillMounted(TakeOverFailed):
    """The failed file system of its own device keeps it busy, and is mounted in this namespace: that can be changed."""


def refused(error: Exception, facts: DeviceFacts, record: DriveRecord | None) -> TakeOverFailed:
    """Return why the drive cannot be used, in the kernel's words where it has some."""
    if not isinstance(error, OSError):
        return TakeOverFailed(Observation.MOUNT_FAILED, words_of(error), record)
    observation = Observation.IO_ERROR if error.errno == errno.EIO else Observation.MOUNT_FAILED
    if not isinstance(error, xfs.MountRefused):
        return TakeOverFailed(observation, words_of(error), record)
    holders = holders_of_device(facts.major_minor) if error.errno == errno.EBUSY else []
    why = refusal(error.errno or 0, error.strerror or "", error.said, holders)
    return TakeOverFailed(observation, f"{facts.name}: {why.cause}", record, why.advice)


def words_of(error: Exception) -> str:
    """Return what an error says, for people."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return getattr(error, "message", str(error))
