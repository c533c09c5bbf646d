"""How a disk or a drive in a guest is broken and mended; nothing is noted here."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from chaos.host import Host
from chaos.kinds import Action, Kind
from chaos.locks import Occupied
from directpv_common.protocol.messages import ConditionType, HeldDrive
from support.guest.node import ROOT

FILLED: Final = ".filled"
"""What takes the space of a full drive."""
_COPIED: Final = frozenset({ConditionType.MULTIPLE_MATCHES, ConditionType.DUPLICATE})
"""An error, or a warning of a drive that is mounted and stays in use."""
_NOT_MOUNTED: Final = 9
_NOT_FILLED: Final = 10
"""A file system that has shut down is mounted still, but takes nothing."""
_TOO_LATE: Final = -1
LEFT: Final = 1 << 20
"""A drive that is filled has fewer bytes than so many left."""
FILL_SECONDS: Final = 60.0
_FILL: Final = f"""
cd {{path}} && [ "$(stat -f -c %T .)" = xfs ] || exit {_NOT_MOUNTED}
size=$(($(stat -f -c '%a * %S' .))) have=0
while [ $size -ge 65536 ]; do
    if fallocate -o $have -l $size {FILLED} 2>/dev/null; then have=$((have + size)); else size=$((size / 2)); fi
done
dd if=/dev/zero of={FILLED} bs=4k oflag=append conv=notrunc,fsync status=none 2>/dev/null || true
[ $(($(stat -f -c '%a * %S' .))) -lt {LEFT} ] || exit {_NOT_FILLED}
"""
_EMPTY: Final = f'[ "$(stat -f -c %T {{path}})" = xfs ] && rm -f {{path}}/{FILLED} && sync -f {{path}}'


def must_be_told(kind: Kind) -> bool:
    """Tell whether an agent must say that this happens to a drive, however short it is."""
    return kind in (Kind.CLONE, Kind.FULL)


def is_told(kind: Kind, held: HeldDrive) -> bool:
    """Tell whether what an agent says of a drive says that this happens to it."""
    wanted = _COPIED if kind is Kind.CLONE else {ConditionType.FULL}
    return any(each.type in wanted for each in held.record.conditions)


async def break_disk(host: Host, action: Action) -> None:
    """Let the fault begin.

    Raises:
        Occupied: The drive has not come back from an earlier fault, or is too slow, so that it cannot be filled.
    """
    disk = host.disks[action.drive]
    ways: dict[Kind, Callable[[], Awaitable[None]]] = {
        Kind.PULL: disk.pull,
        Kind.FAIL: disk.fail,
        Kind.FAIL_WRITES: disk.fail_writes,
        Kind.FAIL_READS: disk.fail_reads,
        Kind.SLOW: lambda: disk.delay(action.amount),
        Kind.HANG: disk.hang,
        Kind.FULL: lambda: _fill(host, action),
        Kind.CLONE: lambda: _plug_copy(host, action),
    }
    await ways[action.kind]()


async def mend_disk(host: Host, action: Action) -> None:
    """Let the fault end; may be repeated."""
    disk = host.disks[action.drive]
    ways: dict[Kind, Callable[[], Awaitable[object]]] = {
        Kind.PULL: disk.put_back,
        Kind.HANG: disk.resume,
        Kind.GROW: disk.show_grown,
        Kind.FULL: lambda: host.machine.hand.sh(_EMPTY.format(path=_place(host, action))),
        Kind.CLONE: lambda: _unplug_copy(host),
    }
    await ways.get(action.kind, disk.heal)()


async def check_copy(host: Host) -> str:
    """Return where the copy is mounted, in whose mounts ever; empty if nowhere, as it must be."""
    script = f'number=$(cat /sys/block/{host.spare.name}/dev); grep -s " $number " /proc/[0-9]*/mountinfo || true'
    return await host.machine.hand.sh(script)


def _place(host: Host, action: Action) -> str:
    return f"{ROOT}/mnt/{host.drives[action.drive]}"


async def _fill(host: Host, action: Action) -> None:
    done = await host.machine.hand.attempt("sh", "-ec", _FILL.format(path=_place(host, action)), within=FILL_SECONDS)
    if done.code in (_NOT_MOUNTED, _NOT_FILLED, _TOO_LATE):
        raise Occupied("the drive is not mounted, has not come back yet, or is too slow to be filled")
    assert done.code == 0, done


async def _plug_copy(host: Host, action: Action) -> None:
    original, spare = host.disks[action.drive], host.spare
    files = host.machine.disks
    await asyncio.to_thread(_copy, files[original.index], files[spare.index])
    spare.length = original.length
    await spare.plug_in()


async def _unplug_copy(host: Host) -> None:
    if host.spare.name and await host.spare.is_in():
        await host.spare.pull()
    await host.spare.withdraw()


def _copy(source: Path, target: Path) -> None:
    """Make ``target`` a copy, holes included; it stays the same file, which the guest has open."""
    with source.open("rb") as old, target.open("r+b") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(0)
        new.truncate(size)
        end = 0
        while True:
            try:
                start = os.lseek(old.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                return
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.lseek(new.fileno(), start, os.SEEK_SET)
            while start < end:
                start += os.sendfile(new.fileno(), old.fileno(), start, end - start)
