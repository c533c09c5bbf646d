"""``describe drive|volume|node``: all that is known of one object, and what happened to it lately."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands import listing
from directpv_cli.commands.looking import history
from directpv_cli.reaching.session import run
from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.showing import rows
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.event_lines import event_line
from directpv_cli.showing.terminal import pages, tables
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.titles import device_words
from directpv_cli.showing.unwell import causes
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol.errors import DirectPVError, NotFound
from directpv_common.protocol.reasons import reason_for
from directpv_common.protocol.units import format_bytes

SINCE: Final = timedelta(days=7)
USAGE: Final = ("total", "used", "available", "inodes_total", "inodes_used", "inodes_free")
"""What ``-o json`` says of how full a volume is."""
SHOWN: Final = 10
"""Events at the end of a page."""


class Lately(NamedTuple):
    """What happened to an object."""

    events: list[CloudEvent]
    unread: str = ""
    """Why that is not known; empty: it is."""


async def lately(bus: Bus, keep: EventFilter) -> Lately:
    """Return the last events about an object; that they cannot be read does not keep the rest from being shown."""
    try:
        return Lately([event for event, _ in await history.history(bus, datetime.now(UTC) - SINCE, keep)][-SHOWN:])
    except DirectPVError as error:
        return Lately([], error.message)


def drive(word: str, output: str) -> None:
    """Print one drive: ``word`` is its id, the beginning of one, or NODE/DEVICE."""
    printer = output_format(output, wide=False)

    async def work(bus: Bus) -> tuple[m.DriveInfo, list[m.VolumeInfo], Lately]:
        (info,) = await listing.all_drives(bus, m.ListDrives(ids=(word,)))
        fsuuid = info.record.fsuuid
        held = await listing.all_volumes(bus, m.ListVolumes(drives=(fsuuid,), deleting=True))
        return info, held, await lately(bus, EventFilter.of(None, (fsuuid,), None, ["drive"]))

    info, held, events = run(work)
    if printer:
        printer({"drive": msgspec.to_builtins(info), "volumes": msgspec.to_builtins(held)})
        return
    record = info.record
    pages.show(
        [
            ("Drive", record.fsuuid),
            ("Node", f"{record.node}{'' if info.online else ' (Offline)'}"),
            ("Device", record.device or device_words(record)),
            ("Make", record.make),
            ("Status", rows.drive_state(record) + ",Offline" * (not info.online)),
            ("Size", format_bytes(record.total)),
            ("Free", format_bytes(info.free)),
            ("Allocated", f"{format_bytes(info.allocated)}, of these {format_bytes(record.overhead)} by XFS itself"),
            ("Access tier", record.access_tier),
            ("Labels", rows.label_text(record.labels)),
            ("Topology", ",".join(f"{key}={value}" for key, value in sorted(record.topology.items()))),
            ("Age", age_of(record.created)),
            *(
                ("Condition", f"{reason_for(each.type)} for {age_of(each.since) or '?'}: {each.message}")
                for each in record.conditions
            ),
        ]
    )
    _volumes(held)
    _events(events)


def volume(name: str, output: str) -> None:
    """Print one volume."""
    printer = output_format(output, wide=False)

    async def work(bus: Bus) -> tuple[m.VolumeInfo, m.VolumeStats | str, Lately]:
        (info,) = await listing.all_volumes(bus, m.ListVolumes(names=(name,), deleting=True))
        return info, await listing.usage_of(bus, info), await lately(bus, EventFilter.of(None, (), [name], None))

    info, usage, events = run(work)
    if printer:
        known = None if isinstance(usage, str) else {each: getattr(usage, each) for each in USAGE}
        printer({**msgspec.to_builtins(info), "usage": known})
        return
    record = info.record
    claim = f"{record.pvc_namespace}/{record.pvc_name}" if record.pvc_name else ""
    pod = f"{record.pod_namespace}/{record.pod_name}" if record.pod_name else ""
    pages.show(
        [
            ("Volume", record.name),
            ("Status", info.status),
            ("Health", info.condition),
            ("Capacity", format_bytes(record.capacity)),
            *_used(usage),
            ("Node", info.node),
            ("Drive", f"{record.fsuuid} ({info.device or 'no device'})"),
            ("Claim", claim),
            ("Pod", pod),
            ("Staged at", info.use.staged),
            *([("Published at", path) for path in info.use.published] or [("Published at", "")]),
            ("Labels", rows.label_text(record.labels)),
            ("Parameters", ",".join(f"{key}={value}" for key, value in sorted(record.parameters.items()))),
            ("Age", age_of(record.created)),
        ]
    )
    _events(events)


def _used(usage: m.VolumeStats | str) -> list[tuple[str, str]]:
    if isinstance(usage, str):
        return [("Used", f"not known: {usage}")]
    share = usage.used / usage.total if usage.total else 0.0
    files = usage.inodes_used / usage.inodes_total if usage.inodes_total else 0.0
    return [
        ("Used", f"{format_bytes(usage.used)} of {format_bytes(usage.total)} ({share:.0%})"),
        ("Inodes", f"{usage.inodes_used} of {usage.inodes_total} used ({files:.0%})"),
    ]


def node(name: str, output: str) -> None:
    """Print one node."""
    printer = output_format(output, wide=False)

    async def work(bus: Bus) -> tuple[m.NodeSummary, list[m.DriveInfo], Lately]:
        found = [each for each in await listing.all_nodes(bus) if each.info.name == name]
        if not found:
            raise NotFound(f"no node is called {name}; `kubectl directpv info` lists the nodes")
        held = await listing.all_drives(bus, m.ListDrives(nodes=(name,)))
        return found[0], held, await lately(bus, EventFilter.of([name], (), None, ["node", "drive"]))

    summary, held, events = run(work)
    if printer:
        printer({"node": msgspec.to_builtins(summary), "drives": msgspec.to_builtins(held)})
        return
    info = summary.info
    pages.show(
        [
            ("Node", info.name),
            ("Status", "Online" if summary.online else "Offline"),
            *([("Removed", f"at {summary.given_up}, and heard again")] if summary.given_up else []),
            ("Heard", f"{age_of(summary.last_seen)} ago" if summary.last_seen else "not since the controller leads"),
            ("Agent", info.version),
            ("Sizes", "enforced" if info.quota_enforced else "not enforced (--quota=best-effort)"),
            ("Capacity", f"{format_bytes(summary.allocated)} of {format_bytes(summary.total)} allocated"),
            ("Volumes", str(summary.volumes)),
            ("Topology", ",".join(f"{key}={value}" for key, value in sorted(info.topology.items()))),
        ]
    )
    pages.headline(f"Drives ({len(held)})")
    if held:
        tables.show(rows.DRIVE_COLUMNS, [rows.drive_row(each, labels=False) for each in held])
    listing.warn(causes(held))
    _events(events)


def _volumes(held: list[m.VolumeInfo]) -> None:
    pages.headline(f"Volumes ({len(held)})")
    if held:
        tables.show(rows.VOLUME_COLUMNS, [rows.volume_row(each, wide=False, pvc=False, labels=False) for each in held])


def _events(found: Lately) -> None:
    if found.unread:
        pages.headline("Last events")
        listing.warn([f"they cannot be read: {found.unread}"])
        return
    pages.headline(f"Last events ({len(found.events)})")
    now = time.time()
    pages.text(event_line(event, now) for event in found.events)
