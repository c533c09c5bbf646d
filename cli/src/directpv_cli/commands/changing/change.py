"""``cordon``, ``uncordon`` and ``label``: decisions about drives and volumes, one change each."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_volumes
from directpv_cli.reaching.session import run
from directpv_cli.reading.selection import Pods
from directpv_cli.reading.words import label_key, label_pair
from directpv_cli.showing.already import ALREADY
from directpv_cli.showing.terminal.lines import checked, fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition


class _Item(NamedTuple):
    """One drive or volume that was selected."""

    title: str
    """What people call it."""
    request: m.ChangeDrive | m.ChangeVolume | None
    """What to ask for it; None: it is as it should be."""
    unchanged: str = ""
    """What is said then, for instance ``already cordoned``."""


_Find = Callable[[Bus], Awaitable[list[_Item]]]


def set_schedulable(selection: m.ListDrives, *, unschedulable: bool, dry_run: bool) -> None:
    """Cordon or uncordon the drives; those that already are so are left alone."""

    def change(record: m.DriveRecord) -> m.ChangeDrive | None:
        if record.unschedulable == unschedulable:
            return None
        return m.ChangeDrive(fsuuid=record.fsuuid, unschedulable=unschedulable)

    done = "cordoned" if unschedulable else "uncordoned"
    _apply("drive", _drives(selection, change, ALREADY[done]), done, dry_run=dry_run)


def label_drives(selection: m.ListDrives, words: Sequence[str], *, dry_run: bool) -> None:
    """Set ``KEY=VALUE`` and remove ``KEY-`` on the drives, all labels of a drive in one change."""
    sets, removals = checked(lambda: _parse(words))

    def change(record: m.DriveRecord) -> m.ChangeDrive | None:
        if _has(record.labels, sets, removals):
            return None
        return m.ChangeDrive(fsuuid=record.fsuuid, set_labels=sets, remove_labels=removals)

    _apply("drive", _drives(selection, change, ALREADY["labeled"]), "labeled", dry_run=dry_run)


def label_volumes(selection: m.ListVolumes, pods: Pods, words: Sequence[str], *, dry_run: bool) -> None:
    """Set ``KEY=VALUE`` and remove ``KEY-`` on the volumes of ``pods``, all labels of a volume in one change."""
    sets, removals = checked(lambda: _parse(words))

    async def find(bus: Bus) -> list[_Item]:
        found = [volume.record for volume in await all_volumes(bus, selection) if pods.match(volume)]
        return [
            _Item(
                record.name,
                None
                if _has(record.labels, sets, removals)
                else m.ChangeVolume(name=record.name, set_labels=sets, remove_labels=removals),
                ALREADY["labeled"],
            )
            for record in found
        ]

    _apply("volume", find, "labeled", dry_run=dry_run)


def _drives(selection: m.ListDrives, change: Callable[[m.DriveRecord], m.ChangeDrive | None], unchanged: str) -> _Find:
    async def find(bus: Bus) -> list[_Item]:
        found = [drive.record for drive in await all_drives(bus, selection)]
        return [_Item(f"{record.node}/{record.device or record.fsuuid}", change(record), unchanged) for record in found]

    return find


def _has(labels: dict[str, str], sets: dict[str, str], removals: Sequence[str]) -> bool:
    """Tell whether the labels are as asked already."""
    return sets.items() <= labels.items() and labels.keys().isdisjoint({*removals} - sets.keys())


def _parse(words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    removals = tuple(label_key(word[:-1]) for word in words if word.endswith("-") and "=" not in word)
    sets = dict(label_pair(word) for word in words if "=" in word or not word.endswith("-"))
    for key in (*sets, *removals):
        if names.is_reserved(key):
            raise ValueError(f"label {key} is DirectPV's own and cannot be changed")
    return sets, removals


def _apply(noun: str, find: _Find, done: str, *, dry_run: bool) -> None:
    """Change each by itself; one that fails does not stop the others, but the exit status tells."""
    selected, failures = run(lambda bus: _change_all(bus, noun, find, done, dry_run=dry_run))
    if not selected:
        fail(f"no {noun}s match")
    if failures:
        were = "was" if failures == 1 else "were"
        fail(f"{failures} of {counted(selected, noun)} {were} not {done}")


async def _change_all(bus: Bus, noun: str, find: _Find, done: str, *, dry_run: bool) -> tuple[int, int]:
    items = await find(bus)
    failures = 0
    for title, request, unchanged in items:
        if request is None:
            say(f"{noun.capitalize()} {plain(title)} {unchanged}")
            continue
        try:
            if not dry_run:
                await _change(bus, request)
        except DirectPVError as error:
            failures += 1
            trouble(f"{title}: {error.message}")
        else:
            say(f"{noun.capitalize()} {plain(title)} {done}{' (dry run)' * dry_run}")
    return len(items), failures


async def _change(bus: Bus, request: m.ChangeDrive | m.ChangeVolume) -> None:
    if isinstance(request, m.ChangeDrive):
        await bus.call(Controller.DRIVE_CHANGE, request)
    else:
        taken_over(request, (await bus.call(Controller.VOLUME_CHANGE, request)).record)


def taken_over(request: m.ChangeVolume, record: m.VolumeRecord) -> None:
    """Raise if the controller did not label a volume: an earlier one answers, and overlooks what it does not know.

    Raises:
        FailedPrecondition: It must be upgraded first.
    """
    left = {*request.remove_labels} - request.set_labels.keys()
    if not request.set_labels.items() <= record.labels.items() or not record.labels.keys().isdisjoint(left):
        raise FailedPrecondition("the controller is of a version that cannot label volumes; upgrade it, then repeat")
