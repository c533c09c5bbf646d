"""Whether an installation is well, judged from what was heard of it: one screen, and what to do. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.unwell import causes
from directpv_common.protocol.units import format_bytes

NAMED = 10
"""Nodes or volumes that one line names."""


class Heard(NamedTuple):
    """What was heard of an installation."""

    leader: str
    """Who leads, since which epoch; empty: nobody said so."""
    controller: str
    """Version of the controller that leads."""
    bus: str
    """Server and version."""
    stream: str
    """What the event stream holds; empty: there is none."""
    nodes: Sequence[m.NodeSummary]
    drives: Sequence[m.DriveInfo]
    deleting: Sequence[m.VolumeInfo]
    """Volumes whose data is not gone yet."""
    unheard: str = ""
    """Why not all of nodes, drives and volumes could be listed; empty: they were."""


def lines_of(heard: Heard) -> list[tuple[str, str]]:
    """Return one line per part: its name, and how it is."""
    nodes, drives = heard.nodes, heard.drives
    online = sum(node.online for node in nodes)
    states = Counter(str(drive.record.status) for drive in drives)
    agents = Counter(node.info.version or "unknown version" for node in nodes if node.online)
    total, allocated = sum(node.total for node in nodes), sum(node.allocated for node in nodes)
    return [
        ("Leader", heard.leader or "nobody leads"),
        ("Bus", heard.bus),
        ("Events", heard.stream or "no stream: nothing is kept"),
        ("Controller", heard.controller or "-"),
        ("Agents", ", ".join(f"{count} of {version}" for version, count in sorted(agents.items())) or "none"),
        ("Nodes", f"{online} of {len(nodes)} online"),
        ("Drives", ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"),
        ("Volumes", f"{sum(node.volumes for node in nodes)}" + _deleting(heard.deleting)),
        ("Capacity", f"{format_bytes(allocated)} of {format_bytes(total)} allocated"),
    ]


def _deleting(volumes: Sequence[m.VolumeInfo]) -> str:
    return f", {len(volumes)} Deleting" if volumes else ""


def troubles(heard: Heard) -> list[str]:
    """Return what is not well, each with what to do; an installation without any is healthy."""
    return [*of_services(heard), *of_nodes(heard), *_of_drives(heard)]


def notes(heard: Heard) -> list[str]:
    """Return what people decided and should not forget; it makes nothing unhealthy."""
    lenient = [node.info.name for node in heard.nodes if not node.info.quota_enforced]
    cordoned = [name_of(drive.record) for drive in heard.drives if drive.record.unschedulable]
    versions = {node.info.version for node in heard.nodes if node.online} | {heard.controller}
    return [
        *([f"{_some(lenient)}: sizes of volumes are not enforced (--quota=best-effort)"] if lenient else []),
        *([f"cordoned: {_some(cordoned)}; uncordon them to place volumes there again"] if cordoned else []),
        *(["programs of different versions run; end the upgrade"] if len(versions - {""}) > 1 else []),
    ]


def of_services(heard: Heard) -> Iterator[str]:
    """Yield what is not well with controller, bus and stream."""
    if not heard.leader:
        yield "no controller leads: nothing can be placed or changed; look at the controllers' logs"
    elif heard.unheard:
        yield f"not everything could be listed, so that nobody knows whether it is well: {heard.unheard}; repeat"
    if not heard.stream:
        yield "there is no event stream: what happens is not kept; JetStream of the NATS servers must be enabled"


def of_nodes(heard: Heard) -> Iterator[str]:
    """Yield which nodes are away, the first of them by name."""
    if not heard.nodes and not heard.unheard:
        yield "no node agent has been heard; is DirectPV installed, and do its pods run?"
    for node in [node for node in heard.nodes if not node.online][:NAMED]:
        since = f" since {age_of(node.last_seen)}" if age_of(node.last_seen) else ""
        waiting = sum(volume.node == node.info.name for volume in heard.deleting)
        more = f"; {waiting} volumes stay Deleting until then" if waiting else ""
        yield f"node {node.info.name} is offline{since}: start its agent, or the machine{more}"


def _of_drives(heard: Heard) -> Iterator[str]:
    offline = {node.info.name for node in heard.nodes if not node.online}
    unwell = [drive for drive in heard.drives if drive.record.status is not m.DriveStatus.READY]
    for drive in [drive for drive in unwell if not drive.record.conditions][:NAMED]:
        name = name_of(drive.record)
        yield f"{name} is {drive.record.status}; why: kubectl directpv explain drive {name}"
    yield from causes([drive for drive in heard.drives if drive.record.node not in offline or drive in unwell])


def name_of(record: m.DriveRecord) -> str:
    """Return what people call a drive: NODE/DEVICE, or its id while no device carries it."""
    return f"{record.node}/{record.device}" if record.device else record.fsuuid


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
