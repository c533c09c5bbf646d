"""A drive in the agent's memory: its record, its volumes, where they are mounted. The truth is on the drive."""

import math
from collections.abc import Container
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from directpv_common.protocol.errors import FailedPrecondition, OutOfRange
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveStatus,
    HeldCopy,
    HeldDrive,
    HeldVolume,
    VolumeRecord,
    VolumeUse,
)
from directpv_common.protocol.names import SUSPEND
from directpv_common.protocol.reasons import told
from directpv_common.protocol.units import format_bytes
from directpv_common.protocol.wire import encode
from directpv_nodeagent.layout.core.view import Contents

_NO_USE = VolumeUse()


class Drive:
    """One drive of this node; touched by the event loop only.

    ``generation`` grows with each change that the controller has to know.
    """

    def __init__(self, contents: Contents) -> None:
        self.generation = 0
        self.changes = 0
        """Grows with each change of volumes and mounts that an operation made: what was read before is outdated."""
        self.readable = True
        self.view = contents.view
        self.record = contents.record
        self._volumes: dict[str, VolumeRecord] = {}
        self._uses: dict[str, VolumeUse] = {}
        self._purging: dict[str, int] = {}
        self._promised: dict[str, int] = {}
        self._warnings: dict[ConditionType, Condition] = {}
        self.projects: dict[str, int] = {}
        self.staging_paths: dict[str, str] = {}
        """Where volumes were staged by this run: the mount table alone does not tell staging from publishing."""
        self._copies: dict[str, HeldCopy] = {}
        self._strays: dict[str, str] = {}
        self._sealed: dict[str, str] = {}
        self.flags: dict[str, frozenset[str]] = {}
        """Flags of each mount that kubelet or this run's operations made, by path: to put one back that others took
        away. Of others' mounts they may dispose."""
        self.left_behind: dict[str, list[str]] = {}
        """Volumes that containers keep as they were when the drive failed or was away, with a process of each."""
        self.take(contents)

    def take(self, contents: Contents) -> None:
        """Replace all that is known by what was found on the drive."""
        self.view = contents.view
        self.record = contents.record
        self.readable = True
        self._volumes = dict(contents.volumes)
        self._uses = {name: use for name, use in contents.uses.items() if use != _NO_USE}
        self._purging = dict(contents.purging)
        self._copies = dict(contents.copies)
        self._strays = dict(contents.strays)
        self._sealed = dict(contents.sealed)
        self.projects = dict(contents.projects)
        self.flags |= contents.flags
        self.generation += 1

    # ---- reading ------------------------------------------------------------------------------------------------

    @property
    def fsuuid(self) -> str:
        """Id of the drive."""
        return self.record.fsuuid

    @property
    def device(self) -> str:
        """``major:minor`` of the device that carries it; empty if none does."""
        return self.view.device if self.record.device else ""

    @property
    def volumes(self) -> MappingProxyType[str, VolumeRecord]:
        """Volumes on the drive, without those that are being purged."""
        return MappingProxyType(self._volumes)

    @property
    def strays(self) -> MappingProxyType[str, str]:
        """Volumes of which the copy here is not the volume, with the drive that the registry has it on."""
        return MappingProxyType({name: home for name, home in self._strays.items() if name in self._volumes})

    @property
    def sealed(self) -> MappingProxyType[str, str]:
        """Volumes that were copied to another drive and wait for the registry's decision, with the id of the move."""
        return MappingProxyType({name: move for name, move in self._sealed.items() if name in self._volumes})

    @property
    def copies(self) -> MappingProxyType[str, HeldCopy]:
        """What moves have copied here, by volume."""
        return MappingProxyType(self._copies)

    @property
    def purging(self) -> tuple[str, ...]:
        """Removed volumes whose data is not all gone, sorted."""
        return tuple(sorted(self._purging))

    @property
    def allocated(self) -> int:
        """Bytes that volumes may take: those on the drive, those being made, and remains.

        Metrics ask from another thread: dictionaries are copied in one step before they are gone through.
        """
        sizes = {name: record.capacity for name, record in self._volumes.copy().items()}
        for name, size in self._promised.copy().items():
            sizes[name] = max(size, sizes.get(name, 0))
        return sum(sizes.values()) + sum(self._purging.copy().values())

    @property
    def free(self) -> int:
        """Bytes that further volumes may take."""
        return max(0, self.record.total - self.record.overhead - self.allocated)

    def use(self, name: str) -> VolumeUse:
        """Return where a volume is mounted."""
        return self._uses.get(name, _NO_USE)

    def suspended(self, name: str) -> bool:
        """Tell whether the volume, or the whole drive, is suspended."""
        labels = self._volumes[name].labels if name in self._volumes else {}
        return "true" in (self.record.labels.get(SUSPEND), labels.get(SUSPEND))

    def check_usable(self) -> None:
        """Raise unless volumes of the drive can be worked on.

        Raises:
            FailedPrecondition: Names the drive, its state, and what is wrong with it.
        """
        if self.readable and self.record.status not in (DriveStatus.LOST, DriveStatus.ERROR, DriveStatus.REPAIRING):
            return
        raise FailedPrecondition(f"{self.describe()}: {self.trouble() or 'cannot be read'}")

    def describe(self) -> str:
        """Return the drive's name for messages."""
        return f"drive {self.fsuuid} ({self.record.device or 'no device'}) on {self.record.node}"

    def trouble(self) -> str:
        """Return what is wrong with the drive in words; empty if it is well."""
        if self.record.status is DriveStatus.READY and self.readable:
            return ""
        said = "; ".join(map(told, self.record.conditions))
        return f"is {self.record.status}{f' ({said})' if said else ''}"

    def held(self, after: str = "", room: float = math.inf, contested: Container[str] = ()) -> HeldDrive:
        """Return the report for the controller.

        Args:
            after: Only volumes with names after this one.
            room: Bytes that it may take as JSON, about; at least one volume is told.
            contested: Volumes of which another drive has a copy too, and nobody said which is the volume.
        """
        told: list[HeldVolume] = []
        names = sorted(name for name in self._volumes if name > after)
        for name in names:
            volume = HeldVolume(
                record=self._volumes[name],
                use=self.use(name),
                contested=name in contested,
                stray_of=self._strays.get(name, ""),
                sealed=self._sealed.get(name, ""),
            )
            room -= len(encode(volume)) if room < math.inf else 0
            if told and room < 0:
                break
            told.append(volume)
        return HeldDrive(
            record=self.record,
            generation=self.generation,
            readable=self.readable,
            volumes=tuple(told),
            purging=self.purging,
            copies=tuple(self._copies[name] for name in sorted(self._copies)),
            more=told[-1].record.name if len(told) < len(names) else "",
        )

    # ---- changes ------------------------------------------------------------------------------------------------

    def reserve(self, name: str, capacity: int) -> None:
        """Promise ``capacity`` bytes to a volume until :meth:`put` or :meth:`release`.

        Raises:
            OutOfRange: The drive has not as much left.
        """
        has = max(self._promised.get(name, 0), self._volumes[name].capacity if name in self._volumes else 0)
        more = capacity - has
        if more > self.free:
            raise OutOfRange(
                f"{self.describe()} has {format_bytes(self.free)} left, {format_bytes(more)} more are needed for {name}"
            )
        self._promised[name] = max(capacity, has)

    def release(self, name: str) -> None:
        """Take a promise back, or end it after :meth:`put`."""
        self._promised.pop(name, None)

    def put(self, record: VolumeRecord, project: int | None = None) -> bool:
        """Take in a volume's record as it stands on the drive; tell whether it is news."""
        self._promised.pop(record.name, None)
        if project is not None:
            self.projects[record.name] = project
        if self._volumes.get(record.name) == record:
            return False
        self._volumes[record.name] = record
        self._changed()
        return True

    def relabel(self, name: str, labels: dict[str, str]) -> bool:
        """Change the labels of a volume in memory; tell whether that is news."""
        record = self._volumes.get(name)
        if record is None or record.labels == labels:
            return False
        self._volumes[name] = replace(record, labels=labels)
        self._changed()
        return True

    def set_stray(self, name: str, home: str) -> bool:
        """Note that what is here is a copy of what ``home`` has (empty: is none); tell whether that is news."""
        if self._strays.get(name, "") == home:
            return False
        if home:
            self._strays[name] = home
        else:
            del self._strays[name]
        self._changed()
        return True

    def seal(self, name: str, move: str, home: str) -> None:
        """Note that all of a volume was copied to the drive ``home``; both empty: that this is the volume after all."""
        for table, word in ((self._sealed, move), (self._strays, home)):
            if word:
                table[name] = word
            else:
                table.pop(name, None)
        self._changed()

    def set_copy(self, name: str, copy: HeldCopy | None) -> None:
        """Note what a move has copied here of a volume; None: nothing is there."""
        if self._copies.get(name) == copy:
            return
        if copy is None:
            del self._copies[name]
        else:
            self._copies[name] = copy
        self._changed()

    def retire(self, name: str, remains: bool) -> None:
        """Forget a volume, whose data waits to be purged if there are ``remains``."""
        record = self._volumes.pop(name, None)
        self._uses.pop(name, None)
        self._strays.pop(name, None)
        self._sealed.pop(name, None)
        self.staging_paths.pop(name, None)
        project = self.projects.pop(name, None)
        if remains:
            self._purging[name] = self._purging.get(name, 0) + (record.capacity if record else 0)
            if project is not None:
                self.projects[f"{name}.deleted"] = project
        self._changed()

    def purged(self, name: str) -> None:
        """Note that nothing is left of a removed volume."""
        if self._purging.pop(name, None) is not None:
            self.projects.pop(f"{name}.deleted", None)
            self._changed()

    def set_use(self, name: str, use: VolumeUse) -> bool:
        """Note where a volume is mounted; tell whether that is news."""
        if self.use(name) == use:
            return False
        if use == _NO_USE:
            del self._uses[name]
        else:
            self._uses[name] = use
        self._changed()
        return True

    def doubted(self) -> None:
        """Note that what the controller has to know of the volumes here changed, though nothing here did."""
        self.generation += 1

    def _changed(self) -> None:
        self.generation += 1
        self.changes += 1

    def change(self, **fields: Any) -> bool:
        """Change fields of the drive's record in memory; tell whether that is news."""
        record = replace(self.record, **fields)
        if record == self.record:
            return False
        self.record = record
        self.generation += 1
        return True

    def set_state(self, status: DriveStatus, conditions: tuple[Condition, ...], *, readable: bool) -> bool:
        """Note how the drive is; tell whether that is news. A condition that stays keeps the time when it began.

        Args:
            status: Its status.
            conditions: Why it is not Ready; its warnings are added.
            readable: Whether what is on it can be trusted to be all.
        """
        known = {(condition.type, condition.message): condition for condition in self.record.conditions}
        kept = tuple(known.get((condition.type, condition.message), condition) for condition in conditions)
        news = self.change(status=status, conditions=(*kept, *self._warnings.values()))
        if self.readable != readable:
            self.readable = readable
            self.generation += not news
            return True
        return news

    @property
    def faults(self) -> tuple[Condition, ...]:
        """Why the drive is not Ready: its conditions without warnings."""
        return tuple(condition for condition in self.record.conditions if condition.type not in self._warnings)

    def warned(self, kind: ConditionType) -> str:
        """Return the warning of that kind; empty if there is none."""
        return self._warnings[kind].message if kind in self._warnings else ""

    def set_warning(self, kind: ConditionType, message: str, now: str) -> bool:
        """Note or, with an empty message, end a warning, which does not change the status; tell whether that is news.

        The time when it began stays while its message changes.
        """
        faults, before = self.faults, self._warnings.get(kind)
        if message:
            self._warnings[kind] = Condition(type=kind, message=message, since=before.since if before else now)
        else:
            self._warnings.pop(kind, None)
        return self.change(conditions=(*faults, *self._warnings.values()))
