"""Drives as people call them: an id, the first letters of one that no other drive has, or NODE/DEVICE.

A drive that no device carries is called by the name that its device had last, if no other drive has that name now;
one that was removed, too, where that is asked for.
"""

from collections.abc import Iterable, Sequence

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.reading.words import is_uuid
from directpv_common.bus.bus import Bus
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import InvalidRequest, NotFound

NAMED = 5
"""Drives that are named where several are meant."""


async def resolved(
    bus: Bus, words: Iterable[str], missing: list[str] | None = None, *, removed: bool = False
) -> tuple[str, ...]:
    """Return the ids that ``words`` mean, each once; nothing is asked if all of them are ids.

    Args:
        bus: Where the controller is asked.
        words: What people wrote.
        missing: Gets why words mean no drive, which is no error then.
        removed: Whether words may mean drives that were removed, as far as the controller remembers.

    Raises:
        NotFound: No drive is called so.
        InvalidRequest: Several are; names some.
    """
    asked = tuple(dict.fromkeys(words))
    if all(map(is_uuid, asked)):
        return asked
    drives = await _all_records(bus)
    found: dict[str, None] = {}
    for word in asked:
        try:
            found[word if is_uuid(word) else meant(word, drives)] = None
        except NotFound as error:
            if removed and (gone := await _removed(bus, word)):
                found[gone] = None
            elif missing is None:
                raise
            else:
                missing.append(error.message)
    return tuple(found)


async def _removed(bus: Bus, word: str) -> str:
    """Return the id of the drive that was called ``word`` and was removed, the last one of them; empty: none."""
    node, slash, device = word.partition("/")
    asked = m.ListDrives(given_up=True)
    if slash:
        asked = m.ListDrives(given_up=True, nodes=(node,), devices=(device.removeprefix("dev/"),))
    found: list[m.GivenUpDrive] = []
    while True:
        page = await bus.call(Controller.DRIVE_LIST, asked)
        found += [each for each in page.given_up if slash or each.fsuuid.startswith(word)]
        if not page.next or not page.given_up:
            break
        asked = msgspec.structs.replace(asked, token=page.next)
    last = max(found, key=lambda each: each.since, default=None)
    several = not slash and len(found) > 1
    return last.fsuuid if last is not None and not several else ""


def meant(word: str, drives: Sequence[m.DriveRecord]) -> str:
    """Return the id of the one drive that ``word`` means. Raises: as :func:`resolved`."""
    node, slash, device = word.partition("/")
    if slash:
        name = device.removeprefix("dev/")
        held = [drive for drive in drives if drive.node == node]
        found = [drive for drive in held if drive.device == name] or [d for d in held if d.last_device == name]
    else:
        found = [drive for drive in drives if drive.fsuuid.startswith(word)]
    if not found:
        raise NotFound(f"no drive is called {word!r}; `list drives --all` shows ids, nodes and names")
    if len(found) > 1:
        some = ", ".join(f"{drive.fsuuid} ({_where(drive)})" for drive in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise InvalidRequest(f"{word!r} means {len(found)} drives: {some}{more}; write more of the id")
    return found[0].fsuuid


def _where(drive: m.DriveRecord) -> str:
    if drive.device or not drive.last_device:
        return f"{drive.node}/{drive.device}"
    return f"was {drive.node}/{drive.last_device}"


async def _all_records(bus: Bus) -> list[m.DriveRecord]:
    found: list[m.DriveRecord] = []
    token = ""
    while True:
        page = await bus.call(Controller.DRIVE_LIST, m.ListDrives(token=token))
        found += [drive.record for drive in page.drives]
        token = page.next
        if not token:
            return found
