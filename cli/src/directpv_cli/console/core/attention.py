"""Whether all is well, in one word, and what needs attention: the decisions are those of ``status``.

Green hides nothing: one drive, volume or node that is not well makes the whole screen red, and so does silence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.console.core.picture import Picture
from directpv_cli.showing.ages import age_text
from directpv_cli.showing.health import name_of, notes, of_nodes, of_services, of_stuck_moves, troubles
from directpv_common.protocol.messages import Effect
from directpv_common.protocol.reasons import BY_CONDITION, TABLE, advice_for, ailments_of, reason_for, told

NAMED: Final = 100
"""Things that are named one by one; of more there is a count, and the tables have them."""


class Level(StrEnum):
    """The colour of the screen."""

    WELL = "well"
    UNWELL = "unwell"
    STALE = "stale"
    """Nobody knows how it is now."""


class Item(NamedTuple):
    """One thing that needs attention."""

    about: str
    """What people call it."""
    kind: str
    """``drive``, ``volume``, ``node`` or ``installation``."""
    key: str
    """Id or name, for the link."""
    cause: str
    advice: str = ""
    degraded: bool = False
    """It is served all the same."""


class Verdict(NamedTuple):
    """What the console says of an installation."""

    level: Level
    word: str
    items: Sequence[Item] = ()
    more: int = 0
    """Items beyond those."""
    notes: Sequence[str] = ()
    """What people decided and should not forget."""


def verdict(picture: Picture, age: float, silent: str = "") -> Verdict:
    """Judge a picture.

    Args:
        picture: What was heard last.
        age: How old it is, in seconds.
        silent: Why the last look failed; empty: it did not.
    """
    found = list(items(picture))
    listed, more = found[:NAMED], max(0, len(found) - NAMED)
    remarks = notes(picture.heard)
    if silent:
        said = Item("Controller", "installation", "", silent, "what is shown below is how it was then")
        return Verdict(Level.STALE, f"Not heard for {age_text(age)}", [said, *listed], more, remarks)
    if age > picture.stale_after:
        return Verdict(Level.STALE, f"Not heard for {age_text(age)}", listed, more, remarks)
    if is_well(picture) and not found:
        return Verdict(Level.WELL, "Healthy", (), 0, remarks)
    count = len(found)
    return Verdict(Level.UNWELL, f"{count} {'trouble' if count == 1 else 'troubles'}", listed, more, remarks)


def is_well(picture: Picture) -> bool:
    """Tell whether ``status`` says healthy, and no volume is abnormal."""
    return not troubles(picture.heard) and not any(volume.abnormal for volume in picture.volumes)


def items(picture: Picture) -> Iterator[Item]:
    """Yield what needs attention: the installation, nodes, drives, volumes; the worst drives first."""
    for text in of_services(picture.heard):
        yield Item("Installation", "installation", "", *halves(text))
    yield from _of_nodes(picture)
    drives = [item for drive in picture.drives for item in of_drive(drive)]
    yield from sorted(drives, key=lambda item: item.degraded)
    yield from _of_volumes(picture)
    for move in picture.moves:
        for text in of_stuck_moves(picture.heard._replace(moves=(move,))):
            cause, _, advice = text.rpartition("; ")
            yield Item(move.name, "volume", move.name, cause, advice)


def of_node(picture: Picture, node: m.NodeSummary) -> list[Item]:
    """Return what needs attention on one node: itself, its drives, its volumes."""
    name = node.info.name
    heard = picture.heard._replace(nodes=(node,), drives=picture.drives_of.get(name, ()), moves=())
    here = replace(picture, heard=heard, volumes=[each for each in picture.volumes if each.node == name])
    return [item for item in items(here) if item.kind != "installation"]


def halves(text: str) -> tuple[str, str]:
    """Return cause and advice of a line of ``status``, which has them in one.

    >>> halves("no controller leads: nothing can be placed; look at its logs")
    ('no controller leads: nothing can be placed', 'look at its logs')
    """
    cause, _, advice = text.partition("; ")
    return cause, advice


def _of_nodes(picture: Picture) -> Iterator[Item]:
    if not picture.nodes:
        for text in of_nodes(picture.heard):
            yield Item("Installation", "installation", "", *halves(text))
    for node in picture.nodes:
        if not node.online:
            (text,) = of_nodes(picture.heard._replace(nodes=(node,)))
            cause, _, advice = text.partition(": ")
            yield Item(node.info.name, "node", node.info.name, cause, advice)


def of_drive(drive: m.DriveInfo) -> Iterator[Item]:
    """Yield what is wrong with a drive, as its conditions, or else its state, say; of nodes that are away only that
    they are.
    """
    record = drive.record
    ready = record.status is m.DriveStatus.READY
    if ready and not drive.online:
        return
    for condition in record.conditions:
        reason = reason_for(condition.type)
        degraded = ready or (
            condition.type in BY_CONDITION and TABLE[BY_CONDITION[condition.type]].effect is Effect.DEGRADED
        )
        cause, advice = told(condition), advice_for(reason, record.fsuuid)
        yield Item(name_of(record), "drive", record.fsuuid, cause, advice, degraded)
    if not ready and not record.conditions:
        (first, *_) = ailments_of(record.status, (), name_of(record), record.fsuuid) or (None,)
        advice = advice_for(first.reason, record.fsuuid) if first else ""
        yield Item(name_of(record), "drive", record.fsuuid, f"it is {record.status}", advice)


def _of_volumes(picture: Picture) -> Iterator[Item]:
    """Yield the volumes that are abnormal; those of one drive together, for the drive is what must be mended."""
    groups: dict[tuple[str, str], list[m.VolumeInfo]] = {}
    for volume in picture.volumes:
        if volume.abnormal:
            groups.setdefault((volume.record.fsuuid, volume.condition), []).append(volume)
    for (fsuuid, condition), volumes in groups.items():
        first = volumes[0].record.name
        if len(volumes) == 1:
            yield Item(first, "volume", first, condition)
        else:
            drive = picture.by_id.get(fsuuid)
            where = name_of(drive.record) if drive else fsuuid
            yield Item(f"{len(volumes)} volumes on {where}", "volumes", fsuuid, condition)
