"""Gives places that show a failed file system the drive's new mount; see :mod:`.core.renewal`.

Stage, publish and their opposites decide from the mount table and then change it. So does this: each place is looked at
and changed in the turn of its volume, so that nobody mounts or unmounts there meanwhile. An operation that hangs, maybe
on the dead drive itself, keeps its turn: then the volume is left, and the next look at the drive tries again.
"""

import asyncio
import contextlib
import errno
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import DirectPVError
from directpv_nodeagent.drives.core import renewal
from directpv_nodeagent.drives.core.renewal import Stale
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken import numbers
from directpv_nodeagent.drives.taken.turns import Turns
from directpv_nodeagent.layout.core.layout import PROBE_DIR, drive_path
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.layout.volume_dirs import drive_of
from directpv_nodeagent.linux import files, mount_points, mounts, syscalls
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable
from directpv_nodeagent.linux.executor import DriveExecutors

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 5.0
"""How long a volume's turn is waited for; what works on the volume for longer hangs, maybe on the dead drive."""
SWAP_SECONDS: Final = 20.0
"""A few mounts; what takes longer hangs."""


class Renewal:
    """Changes mounts of volumes whose drive has failed or is back; every wait in it has a limit."""

    def __init__(self, executors: DriveExecutors, turns: Turns) -> None:
        self._executors = executors
        self.turns = turns
        self._left: set[str] = set()

    async def renew(self, view: DriveView) -> bool:
        """Mount a well drive's volumes in all places that show them dead or covered; tell whether there were any.

        A place that fails is logged and left as it is: the next take-over tries again. Never raises.
        """
        outcomes = await self._each(view.fsuuid, lambda: _stale_volumes(view), lambda name: _renew(view, name))
        if None in outcomes:
            self._left.add(view.fsuuid)
        else:
            self._left.discard(view.fsuuid)
        return any(outcomes)

    async def go_on(self, view: DriveView) -> None:
        """Renew what was left since something else worked on it, if there is any such thing."""
        if view.fsuuid in self._left:
            await self.renew(view)

    async def release(self, root: str, fsuuid: str, device: str) -> None:
        """Let go of a drive's failed file system wherever this namespace shows it; places of volumes are covered.

        What cannot be covered is logged, and holds the file system still. Never raises.

        Args:
            root: The agent's directory.
            fsuuid: The drive.
            device: ``major:minor``.
        """
        await self._each(
            fsuuid, lambda: _volumes_to_release(root, fsuuid, device), lambda name: _release(root, fsuuid, device, name)
        )

    async def _each(
        self, fsuuid: str, find: Callable[[], Collection[str]], work: Callable[[str], int]
    ) -> list[int | None]:
        """Call blocking ``work`` for each volume that ``find`` returns; None where it was not done, or not seen to."""
        key = f"renewing {fsuuid}"  # threads apart from the drive's: those serve the volumes that are well
        try:
            names = await self._executors.run(key, find, SWAP_SECONDS, "looking for dead mounts")
        except (DirectPVError, OSError) as error:
            log.warning("dead mounts not looked for", extra={"drive": fsuuid, "error": str(error)})
            return [None]
        return await asyncio.gather(*(self._in_turn(key, name, lambda name=name: work(name)) for name in names))  # type: ignore[misc]

    async def _in_turn(self, key: str, name: str, work: Callable[[], int]) -> int | None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with timeout(TURN_SECONDS):
                    turn = await stack.enter_async_context(self.turns.take(name, kind="renewal"))
                return await turn.run(key, work, SWAP_SECONDS, f"renewing mounts of {name}")
        except TimeoutError:
            cause = f"{', '.join(self.turns.running(name))} takes long"
        except (DirectPVError, OSError) as error:
            cause = str(error)
        log.warning("mounts of a volume left as they are", extra={"volume": name, "cause": cause})
        return None


# ---- blocking -------------------------------------------------------------------------------------------------------


def _stale_volumes(view: DriveView) -> list[str]:
    """Return the volumes of a mounted drive that have dead or covered places."""
    with drive_of(view) as drive:
        found = _stale(view, mounts.own_mounts(*_numbers(view), renewal.COVER), drive.volume_names())
    return list(dict.fromkeys(stale.parts[0] for stale in found))


def _stale(view: DriveView, table: MountTable, volumes: Collection[str]) -> list[Stale]:
    return renewal.stale_mounts(table, view.fsuuid, volumes, _numbers(view), _is_dead)


def _numbers(view: DriveView) -> frozenset[str]:
    return numbers.numbers_of(view.root, view.fsuuid) | {view.device}


def _about(name: str) -> MountTable:
    """Return what the mount table has about the places where a volume is mounted or covered, of whatever drive."""
    paths = {mount.path for mount in mounts.own_mounts(f"/{name}").mounts}
    return mounts.own_mounts(*paths) if paths else MountTable(())


def _renew(view: DriveView, name: str) -> int:
    """Mount one volume wherever it is dead or covered; return how many places there were."""
    done, table, known = 0, _about(name), _numbers(view)
    with drive_of(view) as drive:
        for stale in _stale(view, table, [name]):
            about = {"path": stale.path, "volume": name, "drive": view.fsuuid}
            try:
                with _shown(drive, stale) as shown:
                    _swap(view, shown, stale, _lifted(table, stale.path, known))
                done += 1
            except OSError as error:
                log.warning("mount not renewed", extra={**about, "error": str(error)})
            else:
                log.info("mount renewed", extra=about)
    return done


def _is_dead(mount: Mount) -> bool:
    with contextlib.suppress(OSError):
        return not xfs.is_alive(mount.path, mount.device)
    return False


@contextlib.contextmanager
def _shown(drive: DriveDir, stale: Stale) -> Iterator[int]:
    """Open what a place shall show; what is below the volume belongs to its user, so no link is followed."""
    with contextlib.ExitStack() as stack:
        volume, *below = stale.parts
        opened = stack.enter_context(drive.volume(volume))
        for number, name in enumerate(below, start=1):
            if name in ("", ".", ".."):
                raise OSError(errno.EINVAL, "not a plain path", stale.root)
            way = mount_points.place if number == len(below) else files.opened  # kubelet's subPath may be a file
            opened = stack.enter_context(way(name, opened))
        yield opened


def _lifted(table: MountTable, path: str, known: Collection[str]) -> Mount | None:
    """Take away what others mounted on a place; return what lies below the drive's own mount there, or its cover."""
    foreign, mount = renewal.our_mount(table, path, known)
    for other in foreign:
        mounts.lift(other)
    return table.beneath(mount) if mount is not None else None


def _swap(view: DriveView, shown: int, stale: Stale, below: Mount | None) -> None:
    """Mount ``shown`` at a place, and take the dead mount there away."""
    if below is not None and (below.device, below.root) == (view.device, stale.root):
        syscalls.umount(stale.path, syscalls.MNT_DETACH)  # a former renewal was killed between its two steps
        return
    try:
        mounts.replace(shown, stale.path, stale.flags)
    except OSError:
        _cover_if_bare(view.root, stale, view.fsuuid)
        raise


def _cover_if_bare(root: str, stale: Stale, fsuuid: str) -> None:
    """Cover a place that a failure left bare: it would let a container write to the disk of the host."""
    if mounts.own_mounts(stale.path).at(stale.path) is None:
        with _cover(root, stale, fsuuid) as empty:
            mounts.bind(empty, stale.path, frozenset())


@contextlib.contextmanager
def _cover(root: str, stale: Stale, fsuuid: str) -> Iterator[int]:
    """Make a cover for a place, and show it where nobody looks while the block runs; yield what to mount at the place.

    A directory for a directory, a file for a file. A crash leaves it to the agent's next start, which cleans up.
    """
    is_directory = mount_points.is_directory(stale.path)
    made = tempfile.mkdtemp(prefix="cover-", dir=f"{root}/{PROBE_DIR}")
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    try:
        syscalls.mount(renewal.cover_source(stale, fsuuid), made, "tmpfs", flags, "size=4k,mode=0755")
        try:
            empty = made if is_directory else f"{made}/file"
            if not is_directory:
                os.close(os.open(empty, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
            syscalls.mount(None, made, None, syscalls.MS_REMOUNT | syscalls.MS_RDONLY | flags)
            with mount_points.place(empty) as opened:
                yield opened
        finally:
            mounts.unmount(made)
    finally:
        os.rmdir(made)


def _volumes_to_release(root: str, fsuuid: str, device: str) -> list[str]:
    found = renewal.mounts_to_release(mounts.own_mounts(device), device, drive_path(root, fsuuid))
    return list(dict.fromkeys(stale.parts[0] for stale in found))


def _release(root: str, fsuuid: str, device: str, name: str) -> int:
    """Cover one volume wherever the file system on ``device`` shows it; return how many places there were."""
    place = drive_path(root, fsuuid)
    all_of_it = renewal.mounts_to_release(mounts.own_mounts(device), device, place)
    found = [stale for stale in all_of_it if stale.parts[0] == name]
    for stale in found:
        _lifted(mounts.own_mounts(device, stale.path), stale.path, {device})
        with _cover(root, stale, fsuuid) as empty:
            try:
                mounts.replace(empty, stale.path, frozenset())
            except OSError:
                _cover_if_bare(root, stale, fsuuid)
                raise
        log.warning("dead mount covered", extra={"path": stale.path, "shows": stale.root})
    return len(found)


def foreign_holders(device: str) -> list[str]:
    """Return the processes of other mount namespaces that have the file system on ``device`` mounted, as pid and name.

    One process per namespace; what this process may not see is left out.
    """
    own, seen, found = os.stat("/proc/self/ns/mnt").st_ino, set(), []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            namespace = os.stat(process / "ns/mnt").st_ino
            if namespace == own or namespace in seen:
                continue
            seen.add(namespace)
            if f" {device} " in (process / "mountinfo").read_text(errors="surrogateescape"):
                found.append(f"{process.name} ({(process / 'comm').read_text().strip()})")
    return found
