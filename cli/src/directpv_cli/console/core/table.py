"""Tables for tens of thousands of rows: what people ask for in the address, and the one page of it that is shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import directpv_common.protocol.messages as m
from directpv_cli.console.core.bays import Rack, colour_of, state_of
from directpv_cli.console.core.picture import natural
from directpv_cli.reading.selection import pod_of
from directpv_cli.showing.rows import DRIVE_KEYS, VOLUME_KEYS, drive_order, label_text, volume_order
from directpv_common.protocol import names

T = TypeVar("T")
Found = tuple[str, m.Device]
"""A device, and its node."""

PER_PAGE: Final = 50
MOST_PER_PAGE: Final = 500
LONGEST: Final = 200
"""Letters of a filter."""
UNWELL: Final = "unwell"
USED: Final = "used"


class Query(NamedTuple):
    """What is asked for."""

    text: str = ""
    """Every word of it must be found in a row."""
    state: str = ""
    node: str = ""
    sort: str = ""
    """Title of a column, as ``--sort-by`` takes it; empty: the order of the plugin's tables."""
    descending: bool = False
    page: int = 1
    per_page: int = PER_PAGE

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Query":
        """Read the address; what cannot be understood counts as not given."""
        return cls(
            parameters.get("q", "").strip()[:LONGEST],
            parameters.get("state", "")[:LONGEST],
            parameters.get("node", "")[:LONGEST],
            parameters.get("sort", "")[:LONGEST],
            parameters.get("order") == "desc",
            _number(parameters.get("page", ""), 1, 1 << 30),
            _number(parameters.get("per", ""), PER_PAGE, MOST_PER_PAGE),
        )

    def address(self, **changes: Any) -> str:
        """Return the part of an address behind the question mark that asks for this, with changes."""
        asked = self._replace(**changes)
        fields = {
            "q": asked.text,
            "state": asked.state,
            "node": asked.node,
            "sort": asked.sort,
            "order": "desc" if asked.descending else "",
            "page": "" if asked.page == 1 else str(asked.page),
            "per": "" if asked.per_page == PER_PAGE else str(asked.per_page),
        }
        return "?" + urlencode({key: value for key, value in fields.items() if value})


def _number(text: str, usual: int, most: int) -> int:
    return min(int(text), most) if text.isdecimal() and len(text) < 10 and int(text) else usual


class Page(NamedTuple, Generic[T]):
    """Some rows."""

    query: Query
    rows: Sequence[T]
    matching: int
    total: int

    @property
    def pages(self) -> int:
        """How many there are."""
        return max(1, -(-self.matching // self.query.per_page))

    @property
    def first(self) -> int:
        """Number of the first row; 0: there are none."""
        return (self.query.page - 1) * self.query.per_page + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """Number of the last row."""
        return self.first + len(self.rows) - 1 if self.rows else 0


class Kind(NamedTuple, Generic[T]):
    """What one of the tables is."""

    texts: Callable[[T], str]
    """What the filter looks at."""
    states: Callable[[T], Sequence[str]]
    node: Callable[[T], str]
    keys: Mapping[str, Callable[[T], Any]]
    order: Callable[[T], Any]


def page_of(kind: Kind[T], objects: Sequence[T], query: Query) -> Page[T]:
    """Filter, sort, and cut out one page; a page beyond the last one is the last one."""
    words = query.text.lower().split()
    found = [
        each
        for each in objects
        if (not query.node or kind.node(each) == query.node)
        and (not query.state or query.state in kind.states(each))
        and (not words or _has(kind.texts(each).lower(), words))
    ]
    found.sort(key=kind.keys.get(query.sort.lower(), kind.order), reverse=query.descending)
    pages = max(1, -(-len(found) // query.per_page))
    query = query._replace(page=min(query.page, pages))
    begin = (query.page - 1) * query.per_page
    return Page(query, found[begin : begin + query.per_page], len(found), len(objects))


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)


def _drive_text(drive: m.DriveInfo) -> str:
    record = drive.record
    facts = (record.fsuuid, f"{record.node}/{record.device}", record.make, state_of(drive), str(record.access_tier))
    return " ".join((*facts, label_text(record.labels), *(str(each.type) for each in record.conditions)))


def _drive_states(drive: m.DriveInfo) -> Sequence[str]:
    return (*state_of(drive).split(","), *([UNWELL] if colour_of(drive) == "red" or drive.record.conditions else []))


def _volume_text(volume: m.VolumeInfo) -> str:
    record = volume.record
    facts = (record.name, f"{volume.node}/{volume.device}", record.fsuuid, str(volume.status), *pod_of(volume))
    return " ".join((*facts, f"{record.pvc_namespace}/{record.pvc_name}", label_text(record.labels)))


def _volume_states(volume: m.VolumeInfo) -> Sequence[str]:
    suspended = ["Suspended"] if names.is_suspended(volume.record.labels) else []
    return (str(volume.status), *suspended, *([UNWELL] if volume.abnormal else []))


def _rack_states(rack: Rack) -> Sequence[str]:
    return ("Online" if rack.node.online else "Offline", *([UNWELL] if _ails(rack) else []))


def _ails(rack: Rack) -> bool:
    return rack.colour == "red" or any(bay.drive.record.conditions for bay in rack.bays)


NODES: Final = Kind[Rack](
    lambda rack: f"{rack.node.info.name} {rack.counts}",
    _rack_states,
    lambda rack: rack.node.info.name,
    {"node": lambda rack: rack.node.info.name, "volumes": lambda rack: rack.node.volumes},
    lambda rack: 0,  # they come sorted: the worst first
)
DRIVES: Final = Kind[m.DriveInfo](_drive_text, _drive_states, lambda each: each.record.node, DRIVE_KEYS, drive_order)
VOLUMES: Final = Kind[m.VolumeInfo](_volume_text, _volume_states, lambda each: each.node, VOLUME_KEYS, volume_order)


def volumes_of(samples: Mapping[str, m.VolumeMetrics]) -> Kind[m.VolumeInfo]:
    """Return the table of volumes, which are also sorted by how full they are; those nobody sampled come first."""

    def share(volume: m.VolumeInfo) -> float:
        sample = samples.get(volume.record.name)
        return sample.used / sample.total if sample is not None and sample.total else -1.0

    return VOLUMES._replace(keys={**VOLUME_KEYS, USED: share})


def _device_text(found: Found) -> str:
    node, device = found
    return f"{node}/{device.name} {device.make} {device.fs_type} {' '.join(device.denied)}"


def _device_states(found: Found) -> Sequence[str]:
    device = found[1]
    if device.denied:
        return ("refused",)
    return ("may be initialised", "carries something" if device.needs_force else "blank")


DEVICES: Final = Kind[Found](
    _device_text,
    _device_states,
    lambda found: found[0],
    {
        "device": lambda found: (found[0], natural(found[1].name)),
        "size": lambda found: found[1].size,
        "make": lambda found: found[1].make,
    },
    lambda found: (bool(found[1].denied), found[1].needs_force),  # within these as they came: by node
)
DEVICE_STATES: Final = ("may be initialised", "blank", "carries something", "refused")
DEVICE_COLUMNS: Final = (
    ("device", "Device"),
    ("size", "Size"),
    ("make", "Make"),
    ("", "Carries"),
    ("", "May it be initialised?"),
)
DRIVE_STATES: Final = (UNWELL, *map(str, m.DriveStatus), "SchedulingDisabled", "Suspended", "Offline")
VOLUME_STATES: Final = (UNWELL, *map(str, m.VolumeStatus), "Suspended")
DRIVE_COLUMNS: Final = (
    ("name", "Drive"),
    ("make", "Make"),
    ("size", "Size"),
    ("free", "Free"),
    ("volumes", "Volumes"),
    ("status", "Status"),
    ("age", "Age"),
)
"""What is sorted by, and its title."""
VOLUME_COLUMNS: Final = (
    ("volume", "Volume"),
    ("pvc", "Claim"),
    ("podname", "Pod"),
    ("drive", "Drive"),
    (USED, "Used of its size"),
    ("status", "Status"),
    ("", "Health"),
)
