"""``suspend`` and ``resume``: whether pods find their volumes' data, or an empty read-only directory.

The decision is a label, which the registry and the drive itself keep. What a pod finds is decided on its node, without
any controller; so these commands wait until the nodes know, and tell which do not.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes
from directpv_cli.reaching.session import run
from directpv_cli.reading.selection import Pods
from directpv_cli.showing.already import ALREADY
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError

TELL_SECONDS: Final = 10.0
"""How long a node may take to know: orders that fail are given again after five."""
PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Item:
    """One drive or volume that was selected."""

    title: str
    """What people call it."""
    node: str
    fsuuid: str
    """The drive, or the one that has the volume."""
    suspended: bool
    volume: str = ""
    """Its name; empty for a drive."""
    online: bool = True
    """Whether its node is there."""

    async def change(self, bus: Bus, suspended: bool) -> None:
        """Have the registry keep the decision."""
        if self.volume:
            await bus.call(Controller.VOLUME_CHANGE, m.ChangeVolume(name=self.volume, suspended=suspended))
        else:
            await bus.call(Controller.DRIVE_CHANGE, m.ChangeDrive(fsuuid=self.fsuuid, suspended=suspended))

    def on_node(self, inventory: m.Inventory) -> tuple[bool | None, str]:
        """Return whether it is suspended as its node knows it (None: not known there), and how the drive is."""
        for drive in inventory.drives:
            if drive.record.fsuuid == self.fsuuid:
                volumes = {held.record.name: held.record.labels for held in drive.volumes}
                labels = volumes.get(self.volume) if self.volume else drive.record.labels
                return None if labels is None else names.is_suspended(labels), f"the drive is {drive.record.status}"
        return None, "the node does not have the drive"


Find = Callable[[Bus], Awaitable[list[Item]]]


def require(dangerous: bool) -> None:
    """End the program unless people said that they mean it."""
    if not dangerous:
        fail("pods that start from then on find empty directories for their data; add --dangerous if you want that")


def drives(selection: m.ListDrives, *, suspended: bool, dry_run: bool) -> None:
    """Suspend or resume the drives that are selected."""

    async def find(bus: Bus) -> list[Item]:
        found = [(drive.record, drive.online) for drive in await all_drives(bus, selection)]
        return [
            Item(
                f"{record.node}/{record.device or record.fsuuid}",
                record.node,
                record.fsuuid,
                _is(record),
                online=online,
            )
            for record, online in found
        ]

    _apply("drive", find, suspended=suspended, dry_run=dry_run)


def volumes(selection: m.ListVolumes, pods: Pods, *, suspended: bool, dry_run: bool) -> None:
    """Suspend or resume the volumes that are selected, of ``pods`` alone."""

    async def find(bus: Bus) -> list[Item]:
        found = await all_volumes(bus, selection)
        chosen = [(volume.node, volume.record) for volume in found if pods.match(volume)]
        there = {node.info.name: node.online for node in await all_nodes(bus)}
        return [
            Item(record.name, node, record.fsuuid, _is(record), record.name, online=there.get(node, False))
            for node, record in chosen
        ]

    _apply("volume", find, suspended=suspended, dry_run=dry_run)


def _is(record: m.DriveRecord | m.VolumeRecord) -> bool:
    return names.is_suspended(record.labels)


def _apply(noun: str, find: Find, *, suspended: bool, dry_run: bool) -> None:
    done = "suspended" if suspended else "resumed"
    outcome = run(lambda bus: _change_all(bus, find, suspended, dry_run=dry_run))
    for item in outcome.unchanged:
        say(f"{noun.capitalize()} {plain(item.title)} {ALREADY[done]}")
    for item in outcome.changed:
        say(f"{noun.capitalize()} {plain(item.title)} {done}{' (dry run)' * dry_run}")
    for item, why in outcome.failures.items():
        trouble(f"{item.title}: {why}")
    if not outcome.selected:
        fail(f"no {noun}s match")
    if outcome.failures:
        were = "was" if len(outcome.failures) == 1 else "were"
        of = counted(outcome.selected, noun)
        fail(f"{len(outcome.failures)} of {of} {were} not {done} for certain; repeat to see")
    if outcome.changed and not dry_run:
        say("What has a volume mounted keeps what it has, pods too; restart what shall see the change")


class _Outcome:
    """What came of a command."""

    def __init__(self, selected: int) -> None:
        self.selected = selected
        self.changed: list[Item] = []
        self.unchanged: list[Item] = []
        self.failures: dict[Item, str] = {}


async def _change_all(bus: Bus, find: Find, suspended: bool, *, dry_run: bool) -> _Outcome:
    """Change each by itself, then wait for the nodes; what is as it should be is still asked for on its node."""
    items = await find(bus)
    outcome = _Outcome(len(items))
    for item in items:
        if item.suspended is suspended:
            outcome.unchanged.append(item)
            continue
        try:
            if not dry_run:
                await item.change(bus, suspended)
            outcome.changed.append(item)
        except DirectPVError as error:
            outcome.failures[item] = error.message
    if not dry_run:
        await _wait_for_nodes(bus, [item for item in items if item not in outcome.failures], suspended, outcome)
    return outcome


async def _wait_for_nodes(bus: Bus, items: Sequence[Item], suspended: bool, outcome: _Outcome) -> None:
    by_drive: dict[str, list[Item]] = {}
    for item in items:
        by_drive.setdefault(item.fsuuid, []).append(item)
    for failures in await asyncio.gather(*(_unknown(bus, group, suspended) for group in by_drive.values())):
        outcome.failures |= failures
    outcome.changed = [item for item in outcome.changed if item not in outcome.failures]
    outcome.unchanged = [item for item in outcome.unchanged if item not in outcome.failures]


async def _unknown(bus: Bus, items: Sequence[Item], suspended: bool) -> dict[Item, str]:
    """Wait until the node of a drive knows; return what it does not know in the end, with the reason."""
    node, asked = items[0].node, m.GetInventory(drives=(items[0].fsuuid,))
    left: dict[Item, str] = dict.fromkeys(items, "it does not answer")
    if not items[0].online:
        return dict.fromkeys(items, f"recorded; node {node} is offline, and learns of it when it is back")
    with contextlib.suppress(TimeoutError):
        async with timeout(TELL_SECONDS):
            while left:
                try:
                    inventory = await bus.call(Node.INVENTORY_GET, asked, node=node, patient=False)
                    states = {item: item.on_node(inventory) for item in left}
                    left = {item: why for item, (state, why) in states.items() if state is not suspended}
                except DirectPVError as error:
                    left = dict.fromkeys(left, error.message)
                if left:
                    await asyncio.sleep(PAUSE_SECONDS)
    return {item: f"recorded, but node {node} does not know of it yet: {why}" for item, why in left.items()}
