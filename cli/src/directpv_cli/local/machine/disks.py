"""Loop devices over files of our own, and the mounts on them: made here, and undone here for sure."""

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from directpv_cli.local.machine.holders import holders
from directpv_cli.local.machine.places import DRIVES, STAND_IN
from directpv_cli.local.machine.processes import unheard, wait_until

COMMAND_SECONDS: Final = 30
DETACH_SECONDS: Final = 20.0
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
"""How the mount table writes blanks and their like; proc_pid_mountinfo(5)."""
_STAND_IN: Final = f"nodes/*/root/{STAND_IN}"
_COVER: Final = "directpv-cover"
"""How the source of a mount begins that an agent put over a failed drive's volume; the file system follows."""
TRIES: Final = 5
"""losetup --find races with others for the free device."""


class DiskError(Exception):
    """A tool failed; the text says which, and what it said."""


def command(*argv: str) -> str:
    """Run ``argv`` and return its output.

    Raises:
        DiskError: It failed, hung, or does not exist.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except OSError as error:
        raise DiskError(f"{argv[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise DiskError(f"{' '.join(argv)} did not end within {COMMAND_SECONDS} s") from None
    if done.returncode:
        raise DiskError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def images(directory: Path) -> list[Path]:
    """Return the files of the drives of the stack in ``directory``, node by node, in the order of their numbers."""
    return sorted(
        directory.glob("nodes/*/drives/drive-*.img"), key=lambda path: (path.parts[-3], len(path.name), path.name)
    )


def make_disk(image: Path, size: int) -> str:
    """Attach a new sparse file of ``size`` bytes; return the kernel name of the device, for instance ``loop3``."""
    with image.open("xb") as file:
        file.truncate(size)
    return attach(image)


def attach(image: Path) -> str:
    """Attach a file; return the kernel name of the device. Raises: DiskError: it cannot be."""
    for attempt in range(TRIES):
        try:
            return command("losetup", "--find", "--show", str(image)).removeprefix("/dev/")
        except DiskError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def attached(directory: Path) -> list[str]:
    """Return the loop devices (kernel names) whose backing file is below ``directory``."""
    real = directory.resolve()  # the kernel knows files by their real paths
    return sorted(device for device, file in _backing_files() if file.is_relative_to(real))


def device_of(image: Path) -> str:
    """Return the loop device (kernel name) to which a file is attached; nothing if it is to none."""
    real = image.resolve()
    return next((device for device, file in _backing_files() if file == real), "")


def _backing_files() -> Iterator[tuple[str, Path]]:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            yield backing.parts[3], Path(backing.read_text().strip().removesuffix(" (deleted)"))


def mounts_of(directory: Path, devices: Sequence[str]) -> list[str]:
    """Return mount points of ``devices``, of what stands in for their volumes, and those below ``directory``.

    The last mounted come first, and what is mounted elsewhere before all that is below ``directory``, by which it is
    known: who is ended in between finds it again.
    """
    real = directory.resolve()
    table = list(_mounts())
    numbers = {number for number in map(_number, devices) if number}
    numbers |= {mount.number for mount in table if _is_stand_in(mount, real)}
    covers = tuple(f"{_COVER}:{fsuuid}:" for fsuuid in _file_systems(directory))

    def is_below(mount: _Mount) -> bool:
        return Path(mount.point).is_relative_to(real)

    found = [
        m for m in reversed(table) if m.number in numbers or is_below(m) or (covers and m.source.startswith(covers))
    ]
    return [mount.point for mount in sorted(found, key=is_below)]


def numbers_at(points: Iterable[str]) -> dict[str, str]:
    """Return the device, ``major:minor``, of what is mounted at each of ``points``, dead or alive; the topmost."""
    wanted = set(points)
    return {mount.point: mount.number for mount in _mounts() if mount.point in wanted}


def _is_stand_in(mount: "_Mount", directory: Path) -> bool:
    """Tell whether a mount is what an agent of the stack shows for volumes that are suspended."""
    point = Path(mount.point)
    return (
        mount.fs_type == "tmpfs" and point.is_relative_to(directory) and point.relative_to(directory).match(_STAND_IN)
    )


def _file_systems(directory: Path) -> list[str]:
    """Return the file systems of the drives that the stack in ``directory`` has or had."""
    return [place.name for place in directory.glob(f"nodes/*/root/{DRIVES}/*")]


class _Mount(NamedTuple):
    number: str
    """``major:minor``"""
    point: str
    fs_type: str
    source: str


def _mounts() -> Iterator[_Mount]:
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields, _, rest = line.partition(b" - ")
        number, point = fields.split(b" ")[2], fields.split(b" ")[4]
        fs_type, source = rest.split(b" ")[:2]
        yield _Mount(number.decode(), _text(point), _text(fs_type), _text(source))


def _text(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes((int(found[1], 8),)), field))


def _number(device: str) -> str:
    try:
        return Path(f"/sys/block/{device}/dev").read_text().strip()
    except OSError:
        return ""


def undo(directory: Path, on_wait: Callable[[str], None] = unheard) -> None:
    """Unmount and detach everything that belongs to ``directory``; ``on_wait`` is told once whom that waits for.

    Raises:
        DiskError: Something is in use and would not let go, or stays mounted; names it.
    """
    devices = attached(directory)
    for point in mounts_of(directory, devices):
        try:
            command("umount", point)
        except DiskError:
            command("umount", "--lazy", point)
    detach(directory, on_wait)
    if left := mounts_of(directory, ()):  # who removes the directory now would remove what is mounted there
        raise DiskError(f"still mounted: {', '.join(left)}; unmount it, and repeat")


def detach(directory: Path, on_wait: Callable[[str], None] = unheard) -> None:
    """Detach the loop devices whose files are below ``directory``, and wait until the kernel has let them go.

    It lets go only when the last who has the device open closes it, and udev looks at each new device for a moment.

    Raises:
        DiskError: Something is in use and would not let go; names it.
    """

    def gone() -> bool:
        left = attached(directory)
        for device in left:
            with contextlib.suppress(DiskError):  # it went meanwhile, or is looked at again
                command("losetup", "--detach", f"/dev/{device}")
        return not left

    def held() -> str:
        left = attached(directory)
        who = ", ".join(holders([number for number in map(_number, left) if number]))
        return f"{', '.join(left)}, held by {who or 'whom is not to be seen from here'}"

    if not wait_until(gone, DETACH_SECONDS, lambda: on_wait(f"the kernel to let go of {held()}; end that")):
        raise DiskError(f"still attached: {held()}; end it, and repeat")


def quota_supported(directory: Path) -> bool:
    """Tell whether this kernel's XFS enforces project quotas, by mounting a scratch file system with them."""
    image, point = directory / "quota-probe.img", directory / "quota-probe"
    point.mkdir()
    device = make_disk(image, 512 * 1024 * 1024)
    try:
        command("mkfs.xfs", "-q", f"/dev/{device}")
        try:
            command("mount", "-t", "xfs", "-o", "prjquota", f"/dev/{device}", str(point))
        except DiskError:
            return False
        command("umount", str(point))
        return True
    finally:
        detach(image)
        image.unlink()
        point.rmdir()
