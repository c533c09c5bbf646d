"""When a drive may be given up. Decides, and does nothing."""

from collections.abc import Sequence
from typing import Final

from directpv_common.protocol.errors import Busy, FailedPrecondition, InvalidRequest
from directpv_common.protocol.messages import DriveStatus, Wipe
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.places import describe_paths

_AT_WORK: Final = frozenset({DriveStatus.REPAIRING, DriveStatus.MOVING})


def check_wipe(wipe: Wipe) -> None:
    """Refuse a way of wiping that a later version has.

    Raises:
        InvalidRequest: Names those that there are.
    """
    if wipe not in tuple(Wipe):
        known = ", ".join(Wipe)
        raise InvalidRequest(f"wipe: {wipe} is unknown to this node's agent; it knows {known}", field="wipe")


def check_drive(drive: Drive, running: Sequence[str]) -> None:
    """Refuse a drive that has volumes, or is worked on.

    Args:
        drive: The drive.
        running: Operations on it, in words.

    Raises:
        FailedPrecondition: It has volumes, known to the leader or not, or its state forbids it.
        Busy: Something works on it that ends by itself.
    """
    if drive.volumes:
        names = describe_paths(sorted(drive.volumes))
        raise FailedPrecondition(f"{drive.describe()} has volumes on it ({names}), and is kept as it is")
    if drive.purging and drive.record.status is not DriveStatus.LOST:
        names = describe_paths(drive.purging)
        raise Busy(f"{drive.describe()}: data of removed volumes is still being deleted ({names})")
    check_idle(drive, running)


def check_idle(drive: Drive, running: Sequence[str]) -> None:
    """Refuse a drive that is worked on. Args and errors as of :func:`check_drive`."""
    if drive.record.status in _AT_WORK:
        raise FailedPrecondition(f"{drive.describe()} is {drive.record.status}; wait until that has ended")
    if running:
        raise Busy(f"{drive.describe()} is being worked on ({', '.join(running)})")


def the_device(fsuuid: str, devices: Sequence[DeviceFacts]) -> DeviceFacts | None:
    """Return the one device that carries a drive, None if there is none.

    Raises:
        FailedPrecondition: There are several: which one is meant nobody knows.
        Busy: It is still being read.
    """
    if len(devices) > 1:
        names = ", ".join(sorted(facts.name for facts in devices))
        raise FailedPrecondition(f"devices {names} carry drive {fsuuid}; remove all but the one to give up")
    facts = next(iter(devices), None)
    if facts is not None and facts.pending:
        raise Busy(f"device {facts.name} of drive {fsuuid} is still being read")
    return facts


def check_wipeable(facts: DeviceFacts, wipe: Wipe, found: Sequence[str], *, read: bool) -> None:
    """Refuse to wipe a device that may hold what nobody said shall go.

    Args:
        facts: The device.
        wipe: What is asked.
        found: Directories on the drive that may be volumes.
        read: Whether the drive could be read and written.

    Raises:
        FailedPrecondition: Names what is on it; nothing was changed.
    """
    if wipe is Wipe.NONE:
        return
    if not read:
        raise FailedPrecondition(
            f"{facts.name} cannot be read and written, so that nobody can see what would be wiped; remove the drive "
            "with --wipe=none, and destroy the disk"
        )
    if found:
        raise FailedPrecondition(
            f"{facts.name} is not wiped: there are directories on it that no volume explains "
            f"({describe_paths(sorted(found))}); look at them and remove them by hand, or use --wipe=none"
        )
