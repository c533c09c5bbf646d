"""``remove --lost`` and ``remove node``: drives that are dead go with their volumes, which are named before."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.commands.disks import whereabouts
from directpv_cli.reaching.session import run
from directpv_cli.showing.terminal.documents import Document, output_format
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, NotFound
from directpv_common.protocol.units import format_bytes

ASK_SECONDS = 120.0
UNKNOWN = "is not found: it is not registered, or was removed before"
WOULD = m.RemovalOutcome.WOULD_REMOVE
SHOWN = 20
"""Volumes of a drive that are shown."""
NEEDED = "their data is given up for good: add --dangerous if that is what you want; nothing was changed"
NEXT = (
    "Claims and pods are left to you. For each claim above: kubectl -n NAMESPACE delete pvc NAME --wait=false, then "
    "kubectl -n NAMESPACE delete pod POD: a StatefulSet makes both anew, on another drive"
)


@dataclass(frozen=True)
class Flags:
    """How to give up."""

    dangerous: bool = False
    dry_run: bool = False
    output: str = ""
    ignore_not_found: bool = False
    """Whether what is not there is no error."""

    @property
    def only_plan(self) -> bool:
        """Whether nothing is done."""
        return self.dry_run or not self.dangerous


@dataclass
class _Outcome:
    """What came of the drives that were named."""

    removals: list[m.DriveRemoval] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """Why there is nothing to be done about some of them."""
    places: dict[str, str] = field(default_factory=dict)
    """Where the disks of some of them are, in words: those are not lost."""


def lost(ids: Sequence[str], flags: Flags) -> None:
    """Give up drives with all that is on them; one that is refused stops no other."""
    outcome = _Outcome()
    show = output_format(flags.output, wide=False)
    run(lambda bus: _give_up(bus, ids, flags, outcome))
    for fsuuid, where in outcome.places.items():
        say(f"[yellow]Drive {plain(fsuuid)} is not dead[/yellow]: {plain(where)}")
    _tell(outcome.removals, show, dry_run=flags.only_plan)
    for why in outcome.absent:
        say(plain(why))
    for why in outcome.failures:
        trouble(why)
    if count := len(outcome.failures):
        of = counted(count + len(outcome.removals), "drive")
        fail(f"{count} of {of} {'was' if count == 1 else 'were'} not removed")
    _end(outcome.removals, flags, planned=any(each.outcome is WOULD for each in outcome.removals))


async def _give_up(bus: Bus, ids: Sequence[str], flags: Flags, outcome: _Outcome) -> None:
    for fsuuid in await resolved(bus, ids, outcome.absent if flags.ignore_not_found else None, removed=True):
        request = m.RemoveDrive(fsuuid=fsuuid, lost=True, dry_run=flags.only_plan)
        try:
            outcome.removals.append(await bus.call(Controller.DRIVE_REMOVE, request, within=ASK_SECONDS))
        except NotFound:
            (outcome.absent if flags.ignore_not_found else outcome.failures).append(f"drive {fsuuid} {UNKNOWN}")
        except DirectPVError as error:
            outcome.failures.append(error.message)
    if flags.only_plan:
        outcome.places = await whereabouts(
            bus, {each.fsuuid: each.node for each in outcome.removals if each.outcome is WOULD}
        )


def node(name: str, flags: Flags) -> None:
    """Give up all drives of a node that is gone for good."""

    async def ask(bus: Bus) -> m.NodeRemoval | str:
        request = m.RemoveNode(node=name, dry_run=flags.only_plan)
        try:
            return await bus.call(Controller.NODE_REMOVE, request, within=ASK_SECONDS)
        except NotFound as error:
            if not flags.ignore_not_found:
                raise
            return error.message

    show = output_format(flags.output, wide=False)
    removal = run(ask)
    if isinstance(removal, str):
        say(plain(removal))
        _tell((), show, dry_run=flags.only_plan)
    elif removal.since:
        say(f"Node {plain(name)} was removed already, at {removal.since}")
        _tell((), show, dry_run=flags.only_plan)
    else:
        _end_node(name, removal, show, flags)


def _end_node(name: str, removal: m.NodeRemoval, show: Document | None, flags: Flags) -> None:
    removals = removal.drives
    _tell(removals, show, dry_run=flags.only_plan)
    if removal.key:
        say(f"The key of node {plain(name)} {'would be' if flags.only_plan else 'is'} forgotten")
    _end(removals, flags, planned=True)
    if not flags.only_plan:
        say(f"Node {plain(name)} removed: {counted(len(removals), 'drive')}")


def _tell(removals: Sequence[m.DriveRemoval], show: Document | None, *, dry_run: bool) -> None:
    for removal in removals:
        already = removal.outcome is m.RemovalOutcome.REMOVED
        done = "would be removed" if dry_run and not already else "removed"
        name = f"{removal.node}/{removal.device or removal.fsuuid}"
        count = f" with {counted(removal.count, 'volume')}" if removal.count else ""
        say(f"Drive {plain(name)} {done}{count}: {plain(removal.message)}")
        for volume in removal.volumes[:SHOWN]:
            say(f"    {plain(_line(volume))}")
        if removal.count > SHOWN:
            say(f"    and {removal.count - SHOWN} more (-o json shows up to {len(removal.volumes)})")
    if show is not None:
        show({"drives": [_document(removal) for removal in removals]})


def _line(volume: m.LostVolume) -> str:
    claim = f", claim {volume.pvc_namespace}/{volume.pvc_name}" if volume.pvc_name else ""
    pod = f", pod {volume.pod_namespace}/{volume.pod_name}" if volume.pod_name else ""
    return f"{volume.name} ({format_bytes(volume.capacity)}{claim}{pod})"


def _document(removal: m.DriveRemoval) -> dict[str, Any]:
    return {
        "id": removal.fsuuid,
        "node": removal.node,
        "device": removal.device,
        "outcome": str(removal.outcome),
        "message": removal.message,
        "count": removal.count,
        "volumes": [
            {
                "name": volume.name,
                "capacity": volume.capacity,
                "claim": {"namespace": volume.pvc_namespace, "name": volume.pvc_name},
                "pod": {"namespace": volume.pod_namespace, "name": volume.pod_name},
            }
            for volume in removal.volumes
        ],
    }


def _end(removals: Sequence[m.DriveRemoval], flags: Flags, *, planned: bool) -> None:
    if planned and not flags.dangerous and not flags.dry_run:
        fail(NEEDED)
    claimed = any(volume.pvc_name for removal in removals for volume in removal.volumes)
    if not flags.only_plan and (claimed or any(removal.count > len(removal.volumes) for removal in removals)):
        say(NEXT)
