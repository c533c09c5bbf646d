"""``cordon``, ``uncordon`` and ``label drives``."""

from collections.abc import Callable, Sequence

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives
from directpv_cli.reaching.session import run
from directpv_cli.reading.words import label_key, label_pair
from directpv_cli.showing.lines import checked, fail, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError

Change = Callable[[m.DriveInfo], m.ChangeDrive | None]
"""What to ask for a drive, or None if it is as it should be."""


def set_schedulable(selection: m.ListDrives, *, unschedulable: bool, dry_run: bool) -> None:
    """Cordon or uncordon the drives; those that already are so are left alone."""

    def change(drive: m.DriveInfo) -> m.ChangeDrive | None:
        if drive.record.unschedulable == unschedulable:
            return None
        return m.ChangeDrive(fsuuid=drive.record.fsuuid, unschedulable=unschedulable)

    _apply(selection, change, "cordoned" if unschedulable else "uncordoned", dry_run=dry_run)


def set_labels(selection: m.ListDrives, words: Sequence[str], *, dry_run: bool) -> None:
    """Set ``KEY=VALUE`` and remove ``KEY-`` on the drives, all labels of a drive in one change."""
    sets, removals = checked(lambda: _parse(words))

    def change(drive: m.DriveInfo) -> m.ChangeDrive | None:
        return m.ChangeDrive(fsuuid=drive.record.fsuuid, set_labels=sets, remove_labels=removals)

    _apply(selection, change, "labelled", dry_run=dry_run)


def _parse(words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    removals = tuple(label_key(word[:-1]) for word in words if word.endswith("-") and "=" not in word)
    sets = dict(label_pair(word) for word in words if "=" in word or not word.endswith("-"))
    for key in (*sets, *removals):
        if names.is_reserved(key):
            raise ValueError(f"label {key} is DirectPV's own and cannot be changed")
    return sets, removals


def _apply(selection: m.ListDrives, change: Change, done: str, *, dry_run: bool) -> None:
    """Change each drive by itself; one that fails does not stop the others, but the exit status tells."""
    drives, failures = run(lambda bus: _change_all(bus, selection, change, done, dry_run=dry_run))
    if not drives:
        fail("no drives match")
    if failures:
        fail(f"{failures} of {drives} drives were not {done}")


async def _change_all(
    bus: Bus, selection: m.ListDrives, change: Change, done: str, *, dry_run: bool
) -> tuple[int, int]:
    drives = await all_drives(bus, selection)
    failures = 0
    for drive in drives:
        request = change(drive)
        if request is None:
            continue
        try:
            if not dry_run:
                await bus.call(Controller.DRIVE_CHANGE, request)
        except DirectPVError as error:
            failures += 1
            trouble(f"{drive.record.node}/{drive.record.device}: {error.message}")
        else:
            say(f"Drive {drive.record.node}/{drive.record.device} {done}{' (dry run)' * dry_run}")
    return len(drives), failures
