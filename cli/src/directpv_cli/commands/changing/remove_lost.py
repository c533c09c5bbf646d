"""``remove --lost`` and ``remove node``: drives that are dead go with their volumes, which are named before."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import resolved
from directpv_cli.reaching.session import run
from directpv_cli.showing.documents import Document, output_format
from directpv_cli.showing.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.units import format_bytes

ASK_SECONDS = 120.0
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

    @property
    def only_plan(self) -> bool:
        """Whether nothing is done."""
        return self.dry_run or not self.dangerous


Ask = Callable[[Bus, bool], Awaitable[list[m.DriveRemoval]]]
"""Asks for a plan (True), or for the deed."""


def lost(ids: Sequence[str], flags: Flags) -> None:
    """Give up drives with all that is on them; one that is refused stops no other."""
    failures: dict[str, str] = {}

    async def ask(bus: Bus, only_plan: bool) -> list[m.DriveRemoval]:
        removals = []
        for fsuuid in await resolved(bus, ids):
            request = m.RemoveDrive(fsuuid=fsuuid, lost=True, dry_run=only_plan)
            try:
                removals.append(await bus.call(Controller.DRIVE_REMOVE, request, within=ASK_SECONDS))
            except DirectPVError as error:
                failures[fsuuid] = error.message
        return removals

    show = output_format(flags.output, wide=False)
    removals = run(lambda bus: ask(bus, flags.only_plan))
    _tell(removals, show, dry_run=flags.only_plan)
    for why in failures.values():
        trouble(why)
    if failures:
        fail(f"{len(failures)} of {len(failures) + len(removals)} drives were not removed")
    _end(removals, flags)


def node(name: str, flags: Flags) -> None:
    """Give up all drives of a node that is gone for good."""
    keys: list[bool] = []

    async def ask(bus: Bus, only_plan: bool) -> list[m.DriveRemoval]:
        request = m.RemoveNode(node=name, dry_run=only_plan)
        removal = await bus.call(Controller.NODE_REMOVE, request, within=ASK_SECONDS)
        keys.append(removal.key)
        return list(removal.drives)

    show = output_format(flags.output, wide=False)
    removals = run(lambda bus: ask(bus, flags.only_plan))
    _tell(removals, show, dry_run=flags.only_plan)
    if keys[-1]:
        say(f"The key of node {plain(name)} {'would be' if flags.only_plan else 'is'} forgotten")
    _end(removals, flags)
    if not flags.only_plan:
        say(f"Node {plain(name)} removed: {len(removals)} drives")


def _tell(removals: Sequence[m.DriveRemoval], show: Document | None, *, dry_run: bool) -> None:
    for removal in removals:
        done = "would be removed" if dry_run else "removed"
        name = f"{removal.node}/{removal.device or removal.fsuuid}"
        count = f" with {removal.count} volume{'s' * (removal.count != 1)}" if removal.count else ""
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


def _end(removals: Sequence[m.DriveRemoval], flags: Flags) -> None:
    if not flags.dangerous and not flags.dry_run:
        fail(NEEDED)
    if not flags.only_plan and any(removal.count for removal in removals):
        say(NEXT)
