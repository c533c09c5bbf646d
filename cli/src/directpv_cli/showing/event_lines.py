"""An event as one line for people: age, node, type, object, and why. Pure but for the clock of its caller."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from directpv_cli.showing.ages import age_of
from directpv_cli.showing.terminal.text import clean
from directpv_common.bus.cloud_event import TYPE_PREFIX, CloudEvent
from directpv_common.protocol.units import format_bytes

SIZES: Final = frozenset({"size", "capacity", "total", "free", "allocated"})
"""Facts that are bytes."""
CAUSES: Final = ("cause", "why", "advice")
"""Facts that are said in whole, in this order."""
HIDDEN: Final = frozenset({"node", "device", "output", "parameters", "preferred", "requisite", *CAUSES})
"""Facts that stand elsewhere in the line, or are a log of many lines: ``-o json`` has them."""
UNDONE: Final = {"unschedulable": "schedulable", "labels": "no labels"}
"""What is said of facts that are not so any more, if that is all that an event has to say."""


def event_line(event: CloudEvent, now: float) -> str:
    """Return the line; columns are as wide as most words in them."""
    age, node, kind = age_of(event.time, now) or "-", node_of(event), type_of(event)
    return clean(f"{age:<7} {node:<12} {kind:<22} {event.subject:<36}  {cause_of(event)}".rstrip())


def type_of(event: CloudEvent) -> str:
    """Return the type without the prefix that all of ours have, for instance ``drive.lost``."""
    return event.type.removeprefix(TYPE_PREFIX)


def node_of(event: CloudEvent) -> str:
    """Return the node that the event is about; ``controller`` if it is about none."""
    return str(event.data.get("node") or event.source.rpartition("/")[2])


def cause_of(event: CloudEvent) -> str:
    """Return device, cause and advice, then the other facts."""
    data = event.data
    said = "; ".join(clean(str(data[key])).strip().rstrip(";") for key in CAUSES if data.get(key))
    device = _word("", data["device"]) if data.get("device") else ""
    facts = " ".join(_facts(data)) or ("" if said else _undone(data))
    return "  ".join(filter(None, [": ".join(filter(None, [device, said])), facts]))


def _facts(data: Mapping[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        name = key.replace("_", "-")
        if key in HIDDEN or value is None or value is False or value in ("", [], {}):
            continue
        yield name if value is True else f"{name}={_word(key, value)}"


def _undone(data: Mapping[str, Any]) -> str:
    return " ".join(word for key, word in UNDONE.items() if key in data and not data[key])


def _word(key: str, value: Any) -> str:
    """Return a fact as people write it: sizes with units, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key in SIZES:
        return format_bytes(value).replace(" ", "")
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_word('', each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_word("", each) for each in value)
    return "-" if value is None else clean(str(value))
