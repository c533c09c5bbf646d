"""Finds the block devices of this node and everything that decides about them. Blocking: call in a thread.

sysfs says which devices exist; the udev database only adds to it, and need not be there. Records of devices that are
gone do no harm, nor does a device that vanishes or hangs while it is looked at.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from time import monotonic
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_common.protocol.units import MIB
from directpv_nodeagent.devices.answers import Answers
from directpv_nodeagent.devices.blank import hash_samples, is_recognised, read_samples
from directpv_nodeagent.devices.core.disk_identity import identity, with_paths
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.core.kinds import unsuited
from directpv_nodeagent.devices.core.signatures import UNKNOWN, with_content
from directpv_nodeagent.devices.core.superblock import Superblock
from directpv_nodeagent.devices.core.udev_data import FS_TYPE, claimed, not_ready
from directpv_nodeagent.devices.loops import behind
from directpv_nodeagent.devices.signatures import open_device, read_signatures, read_superblock
from directpv_nodeagent.devices.sysfs import (
    Roots,
    disk_of,
    flag_of,
    is_partitioned,
    names_in,
    read_appearance,
    read_text,
    read_udev,
    read_wwid,
    size_of,
    stand_in,
)
from directpv_nodeagent.devices.tables import InUse, read_tables
from directpv_nodeagent.linux.core.own_faults import is_own
from directpv_nodeagent.linux.executor import DriveExecutors
from directpv_nodeagent.linux.executor_job import Hangs

log = logging.getLogger(__name__)

READ_SECONDS: Final = 15.0
"""A disk that was spun down takes up to ten seconds to answer."""
_LEAST_READ: Final = 16 * MIB
"""Smaller devices (floppies, empty slots, unattached loops) can hold no XFS and are not read."""

Content = tuple[Superblock | None, tuple[str, ...], Superblock | None, str]
"""Super block, signatures, what is left of an XFS whose super block is gone, and a hash of samples."""


class Prober:
    """Probes those devices of the node that the agent may touch, and no others."""

    def __init__(
        self,
        patterns: tuple[str, ...] = ("*",),
        include_loop: bool = False,
        *,
        roots: Roots | None = None,
        within: float = READ_SECONDS,
    ) -> None:
        """Take the limits of what may be touched.

        Args:
            patterns: Kernel names as shell patterns, for instance ``("nvme*", "sd*")``.
            include_loop: Whether loop devices are probed; they are too if a pattern begins with ``loop``.
            roots: Where the system's trees are.
            within: Seconds that reading one device may take.
        """
        self.patterns = patterns
        self.include_loop = include_loop or any(pattern.startswith("loop") for pattern in patterns)
        self.roots = roots or Roots()
        self.within = within
        self._unreadable: dict[str, str] = {}
        self._late: dict[str, float] = {}
        """Since when devices have not answered, by name."""
        self._answers: Answers[Content] = Answers(self.roots)
        self.executors = DriveExecutors(width=2, stuck_limit=1)
        """Threads that read devices; one that hangs is not tried again before it returns."""
        self._glances = DriveExecutors(width=2, stuck_limit=1)
        """The same for probes of little patience, apart: a device that was busy when a scan glanced at it does not
        hang, and whoever asks for that very device, to format it for instance, waits for it."""

    def allows(self, name: str) -> bool:
        """Tell whether the agent may touch device ``name``."""
        if name.startswith("loop") and not self.include_loop:
            return False
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def probe(self, patience: float | None = None, *, thorough: bool = False) -> list[DeviceFacts]:
        """Return all devices that may be touched, sorted by name; devices are read at the same time.

        Args:
            thorough: Whether to find out who uses devices as they are, and to read here and there on those without
                signature: before somebody decides about formatting, and never in scans, which would keep disks busy.
            patience: Seconds to wait for the slowest, if less than reading may take: those that are still being read
                are ``pending`` then. By default they are waited for, and are ``unreadable`` if they do not answer.

        Raises:
            DriveFault: There is no mount table, so that nothing can be said about any device.
        """
        names = (entry.replace("!", "/") for entry in names_in(self.roots.sys / "class/block"))
        return self._probe(names, self.within if patience is None else min(patience, self.within), thorough)

    def probe_one(self, name: str) -> DeviceFacts | None:
        """Return the device called ``name``, after a thorough look; None if there is none, or it may not be touched.

        Raises:
            DriveFault: As :meth:`probe`.
        """
        return next(iter(self._probe([name], self.within, thorough=True)), None)

    def probe_number(self, number: str) -> DeviceFacts | None:
        """Return the device with number ``<major>:<minor>``, whatever it is called now; else None.

        Raises:
            DriveFault: As :meth:`probe`.
        """
        facts = self.probe_one((self.roots.sys / "dev/block" / number).resolve().name.replace("!", "/"))
        return facts if facts and facts.major_minor == number else None

    def path_of(self, facts: DeviceFacts) -> str:
        """Return the path of the device's file."""
        return str(self.roots.path(facts.name))

    def _probe(self, names: Iterable[str], patience: float, thorough: bool) -> list[DeviceFacts]:
        allowed = [name for name in names if self.allows(name)]
        if not allowed:
            return []
        tables = read_tables(self.roots, thorough=thorough)
        found = [facts for name in sorted(allowed) if (facts := self._look(name, tables))]
        if thorough:
            found = self._beside_others(found, tables)
        wanted = {facts.name: facts for facts in found if _worth_reading(facts)}
        glance = patience < self.within
        known = {name: self._answers.unchanged(facts) if glance else None for name, facts in wanted.items()}
        contents = (self._glances if glance else self.executors).run_all(
            {name: self._reader(facts, thorough=thorough) for name, facts in wanted.items() if known[name] is None},
            patience,
            "reading its signatures",
        )
        contents |= {name: content for name, content in known.items() if content is not None}
        self._late = {name: since for name, since in self._late.items() if name in wanted}
        return [self._add_content(facts, contents.get(facts.name), patience) for facts in found]

    def _beside_others(self, found: list[DeviceFacts], tables: InUse) -> list[DeviceFacts]:
        """Return ``found`` with what is known only beside all devices, those that may not be touched too."""
        names = {facts.name for facts in found}
        others = (entry.replace("!", "/") for entry in names_in(self.roots.sys / "class/block"))
        beside = [facts for name in others if name not in names and (facts := self._look(name, tables))]
        return [facts for facts in with_paths([*found, *beside]) if facts.name in names]

    def _look(self, name: str, tables: InUse) -> DeviceFacts | None:
        """Return what is known without reading the device; None if it is gone, or nothing is behind it."""
        block = self.roots.block(name)
        number = read_text(block / "dev")
        if not number or _unattached_loop(self.roots, name):
            return None
        mount_points = tables.mount_points(name, number)
        udev = read_udev(self.roots, number)
        unready, part = (not_ready(udev), claimed(udev)) if udev is not None else ("", "")
        if udev is None:
            udev = stand_in(self.roots, block)
            if mount_points and number in tables.fs_types:
                udev[FS_TYPE] = tables.fs_types[number]
        shown = behind(self.roots, name) if name.startswith("loop") else None
        size = size_of(block)
        return DeviceFacts(
            name=name,
            major_minor=number,
            size=size,
            disk=disk_of(block),
            hidden=flag_of(block / "hidden"),
            removable=flag_of(block / "removable"),
            read_only=flag_of(block / "ro"),
            partitioned=is_partitioned(block),
            holders=tuple(names_in(block / "holders")),
            dm_name=read_text(block / "dm/name"),
            mount_points=mount_points,
            swap=number in tables.swaps,
            cdrom=name in tables.cdroms,
            udev=udev,
            users=tables.users.get(number, ()),
            unsuited=unsuited(name, self.patterns),
            not_ready=unready,
            claimed=bool(part),
            identity=identity(name, size, udev, read_wwid(block), shown.file if shown else ""),
            appearance=read_appearance(block),
        )

    def _add_content(
        self, facts: DeviceFacts, content: "Content | BaseException | None", patience: float
    ) -> DeviceFacts:
        """Return ``facts`` with what was read; log why nothing could be, once for each reason."""
        if isinstance(content, Hangs) and patience < self.within:
            content = self._answers.late(facts, self.within) or content
        if isinstance(content, Hangs):
            now = monotonic()
            since = self._late.setdefault(facts.name, now - patience)
            if patience < self.within and now - since < self.within:
                return replace(facts, pending=True)
            content = DriveFault(f"{facts.name} does not answer: {content.message}")
        else:
            self._late.pop(facts.name, None)
        if not isinstance(content, BaseException):
            self._unreadable.pop(facts.name, None)
            return with_content(facts, *content) if content else facts
        if is_own(content):
            log.error("device not read", extra={"device": facts.name, "error": str(content)})
            return replace(facts, pending=True)
        why = content.message if isinstance(content, DriveFault) else f"{facts.name}: {content}"
        if self._unreadable.get(facts.name) != why:
            self._unreadable[facts.name] = why
            log.warning("device cannot be read", extra={"device": facts.name, "error": why})
        return replace(facts, unreadable=why)

    def _reader(self, facts: DeviceFacts, *, thorough: bool) -> Callable[[], Content]:
        """Return what reads a device. A thorough look shows more than scans do, so they do not go by it."""
        read = partial(self.read_content, facts, thorough=thorough)
        return read if thorough else self._answers.kept(facts, read)

    def read_content(self, facts: DeviceFacts, *, thorough: bool = False) -> Content:
        """Read super block and signatures from the device itself, as they are now; blocking.

        What is mounted or swapped to carries what it is used as; only its super block is read.

        Args:
            facts: The device.
            thorough: Whether it is also read here and there: to see whether one that shows nothing is blank, and to
                know one that carries something again, for what is formatted over must be what was shown.

        Raises:
            DriveFault: It cannot be read.
        """
        path = self.path_of(facts)
        with open_device(path, facts.major_minor) as device:
            block = read_superblock(device, path)
            if facts.mount_points or facts.swap:
                return block, (), None, ""
            signatures = read_signatures(device, path, self.within)
            if not thorough or facts.holders:
                return block, signatures, None, ""
            if block or signatures:
                return block, signatures, None, hash_samples(device, path)
            blank, remnant = read_samples(device, path)
            if blank and not is_recognised(device, path, self.within):
                return None, (), None, ""
            return None, (UNKNOWN,), remnant, hash_samples(device, path)


def _worth_reading(facts: DeviceFacts) -> bool:
    return facts.size >= _LEAST_READ and not facts.cdrom and not facts.hidden


def _unattached_loop(roots: Roots, name: str) -> bool:
    """Tell whether this is a loop device without a file: the kernel keeps some in store."""
    return name.startswith("loop") and size_of(roots.block(name)) == 0
