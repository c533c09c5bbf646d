"""Asks disks for their health through smartctl, now and then; a disk that hangs costs one thread of its own."""

import asyncio
import json
import logging
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Final

from directpv_common.protocol.errors import DirectPVError, DriveFault
from directpv_common.protocol.messages import ConditionType
from directpv_nodeagent.devices.core.smart import ASLEEP_STATUS, Health, combined, parse_smartctl
from directpv_nodeagent.devices.sysfs import Roots, names_in
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.held import Drive

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""How soon a drive that is new, or is back, is asked."""
DISK_SECONDS: Final = 20.0
ASK_SECONDS: Final = 45.0
AT_ONCE: Final = 8
"""Drives that are asked at the same time: a node has dozens, and starting programs costs CPU."""
_COMMAND: Final = ("smartctl", "--json=c", "-a", "-l", "devstat", "-n", f"standby,{ASLEEP_STATUS}")


@dataclass
class Answer:
    """What the disks below one drive said."""

    disks: dict[str, Health] = field(default_factory=dict)
    """By kernel name; disks that say nothing are left out."""
    asleep: bool = False
    """One of them sleeps, and was not woken."""
    silence: str = ""
    """Why a disk said nothing, in words."""


class HealthWatch:
    """Keeps what was last known of each drive's health, and tells of failures to come."""

    def __init__(self, drives: Drives, roots: Roots | None = None) -> None:
        self._drives = drives
        self._roots = roots or Roots()
        self._known: dict[str, Health] = {}
        self._asked: dict[str, tuple[str, float]] = {}
        """Device and time of the last question, by drive."""
        self._errors: dict[str, dict[str, int]] = {}
        """Media errors by drive, then by disk."""
        self._silences: set[tuple[str, str]] = set()
        """What was logged about disks that say nothing."""
        self._slots = asyncio.Semaphore(AT_ONCE)

    def of(self, fsuuid: str) -> Health | None:
        """Return the health of a drive; None while it is unknown."""
        return self._known.get(fsuuid)

    async def run(self, interval: float) -> None:
        """Ask each drive every ``interval`` seconds, until cancelled; not at all if it is 0 or smartctl is missing."""
        if interval > 0 and shutil.which(_COMMAND[0]) is None:
            log.warning("health of disks stays unknown: smartctl is missing; install smartmontools")
            return
        while interval > 0:
            await self.ask_all(interval)
            await asyncio.sleep(min(interval, LOOK_SECONDS))

    async def ask_all(self, interval: float) -> None:
        """Ask the drives that were not asked for ``interval`` seconds, or have another device since."""
        drives = self._drives.by_id
        for fsuuid in [fsuuid for fsuuid in self._asked if fsuuid not in drives or not drives[fsuuid].record.device]:
            self._forget(fsuuid)
        now = asyncio.get_running_loop().time()
        await asyncio.gather(*(self._ask(drive) for drive in tuple(drives.values()) if self._due(drive, now, interval)))

    def _due(self, drive: Drive, now: float, interval: float) -> bool:
        device, when = self._asked.get(drive.fsuuid, ("", 0.0))
        return drive.record.device != "" and (drive.record.device != device or now - when >= interval)

    def _forget(self, fsuuid: str) -> None:
        """The drive has no device: what is known of it is old; it is asked as soon as it is back."""
        self._known.pop(fsuuid, None)
        self._asked.pop(fsuuid, None)
        if fsuuid not in self._drives.by_id:
            self._errors.pop(fsuuid, None)

    async def _ask(self, drive: Drive) -> None:
        device, executors = drive.record.device, self._drives.executors
        lane = f"health {device}"
        async with self._slots:
            self._asked[drive.fsuuid] = device, asyncio.get_running_loop().time()
            if lane in executors.stuck:  # the last question hangs in the kernel: another one would, too
                self._known.pop(drive.fsuuid, None)
                return
            try:
                answer = await executors.run(lane, lambda: ask(self._roots, device), ASK_SECONDS, "asking for health")
            except (DirectPVError, OSError) as error:
                answer = Answer(silence=str(error))
            except Exception:
                log.exception("health cannot be asked for", extra={"device": device})
                return
        if self._drives.by_id.get(drive.fsuuid) is drive and drive.record.device == device:
            self._take(drive, answer)

    def _take(self, drive: Drive, answer: Answer) -> None:
        """Take in what was said. Whatever a sleeping or silent disk said before about failing still holds."""
        if answer.silence:
            self._log_silence(drive.record.device, answer.silence)
        if answer.asleep:
            return
        health = combined(answer.disks)
        if health is None:
            self._known.pop(drive.fsuuid, None)
            return
        self._known[drive.fsuuid] = health
        self._compare_errors(drive, answer.disks)
        if health.predicted is not None:
            self._drives.warn(drive, ConditionType.FAILURE_PREDICTED, "; ".join(health.reasons))

    def _compare_errors(self, drive: Drive, disks: dict[str, Health]) -> None:
        """Tell of media errors that are new since this agent began to look."""
        seen = self._errors.setdefault(drive.fsuuid, {})
        for name, health in disks.items():
            if health.media_errors is None:
                continue
            old = seen.get(health.serial or name)
            if old is not None and health.media_errors > old:
                counts = {"disk": name, "old": old, "new": health.media_errors}
                log.warning("media errors", extra={"drive": drive.fsuuid, **counts})
                self._drives.emit("drive", "media-errors", drive.fsuuid, device=drive.record.device, **counts)
            seen[health.serial or name] = health.media_errors

    def _log_silence(self, device: str, why: str) -> None:
        if (device, why) not in self._silences:
            self._silences.add((device, why))
            log.info("no health from disk", extra={"device": device, "error": why})


def ask(roots: Roots, device: str) -> Answer:
    """Ask the disks below a device; blocking, for ever if a disk hangs in the kernel.

    Raises:
        DriveFault: smartctl is missing, or a disk did not answer in time.
    """
    answer = Answer()
    for disk in physical_disks(roots, device):
        text, status = _smartctl(roots, disk)
        if status == ASLEEP_STATUS:
            answer.asleep = True
            continue
        health = parse_smartctl(text, status)
        if health is not None:
            answer.disks[disk] = health
        else:
            answer.silence = _why(text) or f"smartctl ended with status {status}"
    return answer


def _smartctl(roots: Roots, disk: str) -> tuple[str, int]:
    """Return what smartctl printed, and its exit status."""
    try:
        done = subprocess.run(
            (*_COMMAND, str(roots.path(disk))),
            capture_output=True,
            timeout=DISK_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise DriveFault(f"{disk} did not tell its health within {DISK_SECONDS:g} s") from None
    except OSError as error:
        raise DriveFault(f"smartctl cannot be started: {error.strerror}; is smartmontools installed?") from error
    return done.stdout.decode(errors="replace"), done.returncode


def _why(text: str) -> str:
    """Return what smartctl said about a disk that it cannot ask; empty if it said nothing."""
    try:
        return "; ".join(str(message["string"])[:200] for message in json.loads(text)["smartctl"]["messages"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def physical_disks(roots: Roots, device: str) -> tuple[str, ...]:
    """Return the disks below a partition, device-mapper or MD device, sorted; itself if it is a disk; blocking.

    Devices of the kernel alone, such as loop devices, are left out: there is nobody to ask.
    """
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [device]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        block = roots.block(name)
        below = names_in(block / "slaves")
        if not below and (block / "partition").exists():
            below = [block.resolve().parent.name]
        waiting.extend(child.replace("!", "/") for child in below)
        if not below and (block / "device").exists():
            found.add(name)
    return tuple(sorted(found))
