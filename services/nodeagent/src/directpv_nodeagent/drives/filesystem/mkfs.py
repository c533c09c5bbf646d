"""Makes a device a drive. The only place of the program that destroys data, and only on the device that was named.

    request ─► device with that number ─► same id as discovered ─► no rule forbids it ─► blank, or forced
            ─► no drive that holds volumes ─► opened exclusively: nothing in the kernel uses it
            ─► still shows what it showed ─► signatures wiped, if forced ─► mkfs.xfs ─► read back

Any step that fails ends it with the device untouched, up to wiping and mkfs.xfs; a process that is killed in the middle
of these leaves a device that carries no super block, or a whole XFS that no registry knows, and discover shows it.
Source: upstream's flow and error words.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from io import FileIO
from typing import Final, TypeVar

from directpv_common.process.command import CommandFailed, output_of
from directpv_common.protocol.errors import Busy, DriveFault, FailedPrecondition, InvalidRequest, NotFound
from directpv_common.protocol.messages import FormatDevice
from directpv_common.protocol.names import FS_LABEL
from directpv_nodeagent.devices.blank import hash_samples
from directpv_nodeagent.devices.core.device_id import device_id, number_of
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.rules import carries, denials, needs_force
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.devices.probe import READ_SECONDS, Prober
from directpv_nodeagent.devices.signatures import HELD_SECONDS, DeviceHeld, open_alone, open_device, read_superblock
from directpv_nodeagent.drives.core.xfs_options import mkfs_arguments, parse_version
from directpv_nodeagent.drives.filesystem.occupied import why_kept

T = TypeVar("T")

MKFS_SECONDS: Final = 15 * 60.0
"""Discarding a large drive takes minutes on some."""
_HELD_PAUSE: Final = 0.05
_WIPE_SECONDS: Final = 60.0
_VERSION_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 3 * READ_SECONDS
"""Tables and reads of a probe, each bounded by itself."""

CHANGED: Final = "device state changed"
_AGAIN: Final = "run discover again, look at what it shows now, and init from the new file"

_formatting: set[str] = set()
"""Numbers of the devices that are being formatted by this process."""


async def _as_before() -> None:
    """Nobody looks whether the device is what it was."""


async def make_xfs(
    path: str, fsuuid: str, *, force: bool, unchanged: Callable[[], Awaitable[None]] = _as_before
) -> None:
    """Make an XFS for DirectPV on ``path``.

    Cancelling kills mkfs.xfs in the middle: run it in a task of its own.

    Args:
        path: A block device.
        fsuuid: UUID of the new file system.
        force: Overwrite an existing file system or partition table; without, mkfs.xfs refuses.
        unchanged: Raises if the device, which somebody held meanwhile, is not what it was: mkfs.xfs sees what has a
            signature only.

    Raises:
        DriveFault: mkfs.xfs failed, is missing, or did not end within 15 minutes.
    """
    mkfs = parse_version(await output_of("mkfs.xfs", "-V", within=_VERSION_SECONDS))
    kernel = parse_version(os.uname().release)

    async def make(force: bool) -> None:
        arguments = mkfs_arguments(fsuuid, force=force, kernel=kernel, mkfs=mkfs)
        await output_of("mkfs.xfs", *arguments, path, within=MKFS_SECONDS)

    async def make_again() -> None:
        await unchanged()
        await make(force=False)

    await _when_let_go(lambda: make(force), make_again)


async def wipe(path: str) -> None:
    """Take away every signature that libblkid knows; refused by wipefs itself if the kernel uses the device.

    mkfs.xfs overwrites both ends of a device only: labels of ZFS, which lie further inside, would stay, and udev would
    call the new drive's content ambiguous.

    Raises:
        DriveFault: wipefs failed, is missing, or did not end within a minute.
    """
    await output_of("wipefs", "--all", "--quiet", path, within=_WIPE_SECONDS)


async def _when_let_go(first: Callable[[], Awaitable[None]], again: Callable[[], Awaitable[None]]) -> None:
    """Do what opens a device exclusively, and ``again`` while it is held, which may be for a moment only.

    Programs that are being started have copies of all our descriptors until they are executed, and udev's programs look
    at each device that was written to. Who held it may have written to it: ``again`` destroys nothing that is new.
    """
    end, work = asyncio.get_running_loop().time() + HELD_SECONDS, first
    while True:
        try:
            await work()
            return
        except CommandFailed as error:
            if os.strerror(errno.EBUSY) not in str(error) or asyncio.get_running_loop().time() > end:
                raise
        work = again
        await asyncio.sleep(_HELD_PAUSE)


@contextlib.contextmanager
def exclusive_open(path: str, number: str = "") -> Iterator[int]:
    """Hold a device open so that no file system, RAID, LVM, swap or mapper can take it; blocking.

    Args:
        path: The device's file.
        number: ``<major>:<minor>`` that it must have; empty if any will do.

    Raises:
        FailedPrecondition: The kernel uses the device.
        DriveFault: It cannot be opened, or is another device.
    """
    with contextlib.ExitStack() as stack:
        try:
            device = stack.enter_context(open_alone(path, number))
        except DeviceHeld as error:
            raise FailedPrecondition(
                f"device init not permitted; {path} is in use by the kernel although nothing shows by what: "
                "a file system mounted out of sight, ZFS, RAID, LVM or another program that holds it"
            ) from error
        yield device


async def format_device(
    prober: Prober,
    node: str,
    request: FormatDevice,
    *,
    registered: Collection[str],
    own: Collection[str],
    fsuuid: str,
    volumes_on: Callable[[DeviceFacts], Sequence[str]],
) -> Superblock:
    """Format one device, if it is still exactly what discover showed, and return its new super block.

    Safe to repeat: a device that was formatted has another id afterwards, and is refused.

    Args:
        prober: Finds the device; only those that it allows are formatted.
        node: This node's name, part of device ids.
        request: Id and name as discovered, and whether to overwrite what is there.
        registered: FSUUIDs that the registry knows as drives, of any node.
        own: FSUUIDs of the drives that this agent serves.
        fsuuid: UUID of the new file system.
        volumes_on: Returns the volumes on a device that looks like a drive, whosever it is; blocking.

    Raises:
        InvalidRequest: ``id`` is no device id.
        NotFound: No device has that number (any more), or the agent may not touch it.
        FailedPrecondition: It changed, is forbidden, holds volumes, or carries something and ``force`` is not set.
        Busy: It is being formatted at this moment.
        DriveFault: It cannot be read, or mkfs.xfs failed.
    """
    number = number_of(request.id)
    if number is None:
        raise InvalidRequest(
            f"id: {request.id!r} is no device id; take it from what discover wrote, unchanged", field="id"
        )
    if number in _formatting:
        raise Busy(f"{request.name}: it is being formatted")
    _formatting.add(number)
    try:
        found = await _probe(prober, number)
        facts = check(found, node, request, registered=registered, own=own)
        if why := await why_kept(prober, facts, volumes_on):  # no force destroys those
            raise FailedPrecondition(f"device init not permitted; {why}")
        return await _format(prober, facts, fsuuid)
    finally:
        _formatting.discard(number)


def check(
    facts: DeviceFacts | None,
    node: str,
    request: FormatDevice,
    *,
    registered: Collection[str],
    own: Collection[str],
) -> DeviceFacts:
    """Return ``facts`` if ``request`` may be done on the device as it is now; raises as :func:`format_device`."""
    if facts is None:
        raise NotFound(f"device not found: {request.name} ({number_of(request.id)}) is gone; {_AGAIN}")
    if facts.name != request.name or device_id(facts, node) != request.id:
        raise FailedPrecondition(f"{CHANGED}: {request.name} is not what it was when it was discovered; {_AGAIN}")
    reasons = denials(facts, registered=registered, own=own)
    if reasons:
        raise FailedPrecondition(f"device init not permitted; {'; '.join(reasons)}")
    if needs_force(facts) and not request.force:
        raise FailedPrecondition(
            f"device init not permitted; {facts.name} carries {carries(facts)}, which formatting destroys for good; "
            "set force only if nobody needs it"
        )
    return facts


async def _probe(prober: Prober, number: str) -> DeviceFacts | None:
    return await prober.executors.run(
        f"probe {number}", lambda: prober.probe_number(number), _PROBE_SECONDS, f"probing device {number}"
    )


async def _format(prober: Prober, facts: DeviceFacts, fsuuid: str) -> Superblock:
    """Format the device behind ``facts``, which was checked; hold it open, so that its number stays its own."""
    path = prober.path_of(facts)
    run = prober.executors.run
    with await run(facts.name, lambda: _pin(path, facts.major_minor), prober.within, "opening it") as pinned:

        async def alone(work: Callable[[], T]) -> T:
            return await run(facts.name, work, 2 * prober.within + HELD_SECONDS, "opening it exclusively")

        async def wipe_again() -> None:
            await alone(lambda: _check_unused(prober, facts))
            await wipe(path)

        samples = await alone(lambda: _check_unused(prober, facts))
        if needs_force(facts):
            await _when_let_go(lambda: wipe(path), wipe_again)
            samples = await run(facts.name, lambda: hash_samples(pinned.fileno(), path), prober.within, "reading it")
        # -f only where there is something to overwrite: mkfs.xfs looks for itself too, and refuses without.
        await make_xfs(
            path,
            fsuuid,
            force=needs_force(facts),
            unchanged=lambda: alone(lambda: _check_unchanged(prober, facts, samples)),
        )
        made = await run(facts.name, lambda: read_superblock(pinned.fileno(), path), prober.within, "reading it back")
    if made is None or made.fsuuid != fsuuid or made.label != FS_LABEL:
        raise DriveFault(f"{path}: mkfs.xfs succeeded, but the device shows {made}: it does not keep what is written")
    return made


def _pin(path: str, number: str) -> FileIO:
    """Open the device for as long as it is formatted: its number and name cannot go to another one meanwhile."""
    with open_device(path, number) as device:
        return FileIO(os.dup(device))


def _check_unused(prober: Prober, facts: DeviceFacts) -> str:
    """Raise if the kernel uses the device, or it does not show what it showed when it was probed; else hash samples."""
    path = prober.path_of(facts)
    with exclusive_open(path, facts.major_minor) as device:
        shown = (facts.superblock or facts.shadow, facts.signatures, facts.remnant, facts.samples)
        if prober.read_content(facts, thorough=True) != shown:
            raise _changed(facts)
        return hash_samples(device, path)


def _check_unchanged(prober: Prober, facts: DeviceFacts, samples: str) -> None:
    """Raise if the kernel uses the device, or somebody has written to it."""
    path = prober.path_of(facts)
    with exclusive_open(path, facts.major_minor) as device:
        if hash_samples(device, path) != samples:
            raise _changed(facts)


def _changed(facts: DeviceFacts) -> FailedPrecondition:
    return FailedPrecondition(f"{CHANGED}: something was written to {facts.name} just now; {_AGAIN}")
