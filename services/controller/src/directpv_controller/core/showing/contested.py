"""What is wrong with a volume that a drive shows on which the registry does not have it."""

from directpv_common.protocol.messages import Ailment, Effect
from directpv_common.protocol.reasons import Reason, ailment
from directpv_controller.core.placing.model import UNKNOWN, Drive
from directpv_controller.core.reserving.ledger import Ledger

NAMED = 5
"""Drives that a message names."""
_ANOTHER = (
    "has another volume under that name, from before it or after it, and serves neither. Look at which one is needed "
    "(created, in its record in .directpv/volumes), rename the directory of the other one, take that record away, then "
    "restart the node's agent"
)

_ALONE = (
    "shows one that the registry does not know and does not take in, for it may be a copy of what was on another "
    "drive. Put that drive back if it is away; if nothing of this one is needed, take its directory, and its record in "
    ".directpv/volumes, away, then restart the node's agent"
)


def doubts_about(ledger: Ledger, name: str) -> tuple[Ailment, ...]:
    """Return what is wrong with a volume of which several drives show one; nothing for all others.

    If the registry has none, nobody knows which one is meant. If it has, and the drive has shown it, it is served.
    """
    if name not in ledger.contested:
        return ()
    drives = [ledger.drives[fsuuid] for fsuuid in sorted(ledger.contested[name])]
    where = " and ".join(map(_named, drives[:NAMED])) + f" and {len(drives) - NAMED} more" * (len(drives) > NAMED)
    volume = ledger.volumes.get(name)
    if volume is None and len(drives) == 1:
        return (_contested(f"volume {name}: {where} {_ALONE}"),)
    if volume is None:
        about = f"volume {name}, which {where} show, and the registry does not know"
        return (ailment(Reason.VOLUME_CONTESTED, about),)
    home = ledger.drives[volume.record.fsuuid]
    if home in drives:
        return (_contested(f"volume {name}: {_named(home)} {_ANOTHER}"),)
    about = f"volume {name} of {_named(home)}, found on {where}"
    if volume.seen:
        return (ailment(Reason.VOLUME_HAS_COPY, about, drives[0].fsuuid),)
    return () if home.known and home.generation == UNKNOWN else (ailment(Reason.VOLUME_CONTESTED, about),)


def doubt_in_words(ledger: Ledger, name: str) -> str:
    """Return the same as a sentence; empty if nothing is wrong."""
    return "; ".join(each.message for each in doubts_about(ledger, name))


def _contested(message: str) -> Ailment:
    return Ailment(effect=Effect.INACCESSIBLE, reason=Reason.VOLUME_CONTESTED.value, message=message)


def _named(drive: Drive) -> str:
    return f"drive {drive.fsuuid} ({drive.record.device or 'no device'}) on {drive.record.node}"
