"""What is not well with drives, in words: tables end with it, so that nobody overlooks what they do not show. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.showing.titles import title
from directpv_common.protocol.counts import counted
from directpv_common.protocol.reasons import advice_for, reason_for, told
from directpv_common.protocol.units import format_bytes

NAMED: Final = 10
"""Drives that are named one by one; of more there is a count."""


def hidden(unwell: Sequence[m.DriveInfo], shown: Sequence[m.DriveInfo]) -> list[str]:
    """Return a line that counts the drives that are ``unwell`` and not ``shown``; none if there are none."""
    ids = {drive.record.fsuuid for drive in shown}
    counts = Counter(
        (str(drive.record.status), drive.record.node) for drive in unwell if drive.record.fsuuid not in ids
    )
    total = sum(counts.values())
    if not total:
        return []
    groups = [f"{count} {status} on {node}" for (status, node), count in sorted(counts.items())]
    more = [f"{len(groups) - NAMED} more groups"] if len(groups) > NAMED else []
    noun = "drive" if total == 1 else "drives"
    return [f"{total} {noun} not shown: {', '.join([*groups[:NAMED], *more])}; --all shows every drive"]


def causes(drives: Sequence[m.DriveInfo], *, advice: bool = False) -> list[str]:
    """Return a line per condition of ``drives``, at most so many and a count of the rest; none if all are well.

    Args:
        drives: Of which conditions are told.
        advice: Also what to do about each.
    """
    lines = [
        f"{title(drive.record)}: {told(condition)}{_advice(drive, condition) if advice else ''}"
        for drive in drives
        for condition in drive.record.conditions
    ]
    rest = len(lines) - NAMED
    return [*lines[:NAMED], *([f"and {rest} more; -o json shows all conditions"] if rest > 0 else [])]


def taken(drives: Sequence[m.DriveInfo]) -> list[str]:
    """Return a line per drive with space that is taken by what the registry does not have there, as with causes."""
    found = [drive for drive in drives if drive.strays]
    lines = [
        f"{title(drive.record)}: {format_bytes(drive.strays)} are taken by what the registry does not have there; "
        f"what, and what to do: kubectl directpv explain drive {drive.record.fsuuid}"
        for drive in found[:NAMED]
    ]
    rest = len(found) - NAMED
    return [*lines, *([f"and {counted(rest, 'more drive')} like that"] if rest > 0 else [])]


def _advice(drive: m.DriveInfo, condition: m.Condition) -> str:
    advice = advice_for(reason_for(condition.type), drive.record.fsuuid)
    return f"; {advice}" if advice else ""
