"""Whether an installation is well, judged from what was heard of it: one screen, and what to do. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import directpv_common.protocol.messages as m
from directpv_cli.showing.ages import age_of, age_text
from directpv_cli.showing.moving import WAITS_FOR
from directpv_cli.showing.titles import title
from directpv_cli.showing.unwell import causes
from directpv_common.protocol import names
from directpv_common.protocol.counts import counted
from directpv_common.protocol.units import format_bytes

EMPTY = "pods that start find empty directories in their place until: kubectl directpv"
UNKNOWN = "unknown"
"""What nobody said."""
HELD_UP_SECONDS = 300
"""A move whose end is refused for so long does not go on without people."""
NAMED = 10
"""Nodes or volumes that one line names."""
BEGIN = "no drive is initialised yet: kubectl directpv discover, then kubectl directpv init drives.yaml --dangerous"


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
    suspended: Sequence[str] = ()
    """Volumes that are suspended by themselves."""
    moves: Sequence[m.MoveStatus] = ()
    """Moves that have not ended."""


def lines_of(heard: Heard) -> list[tuple[str, str]]:
    """Return one line per part: its name, and how it is."""
    if heard.unheard and not heard.nodes:
        return [*_services(heard), *((name, UNKNOWN) for name in ("Agents", "Nodes", "Drives", "Volumes", "Capacity"))]
    nodes, drives = heard.nodes, heard.drives
    online = sum(node.online for node in nodes)
    states = Counter(str(drive.record.status) for drive in drives)
    agents = Counter(node.info.version or "unknown version" for node in nodes if node.online)
    total, allocated = sum(node.total for node in nodes), sum(node.allocated for node in nodes)
    shown = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    return [
        *_services(heard),
        ("Agents", ", ".join(f"{count} of {version}" for version, count in sorted(agents.items())) or "none"),
        ("Nodes", f"{online} of {len(nodes)} online"),
        ("Drives", UNKNOWN if heard.unheard and not drives else shown),
        ("Volumes", f"{sum(node.volumes for node in nodes)}" + _deleting(heard.deleting)),
        ("Capacity", f"{format_bytes(allocated)} of {format_bytes(total)} allocated"),
    ]


def _services(heard: Heard) -> list[tuple[str, str]]:
    return [
        ("Leader", heard.leader or "nobody leads"),
        ("Bus", heard.bus),
        ("Events", heard.stream or "no stream: nothing is kept"),
        ("Controller", heard.controller or "-"),
    ]


def _deleting(volumes: Sequence[m.VolumeInfo]) -> str:
    return f", {len(volumes)} Deleting" if volumes else ""


def troubles(heard: Heard) -> list[str]:
    """Return what is not well, each with what to do; an installation without any is healthy."""
    return [*of_services(heard), *of_nodes(heard), *_of_drives(heard), *_of_contested(heard), *of_stuck_moves(heard)]


def _hidden(noun: str, suspended: Sequence[str], word: str) -> Iterator[str]:
    if suspended:
        yield f"suspended {noun}: {_some(suspended)}; {EMPTY} resume {noun} {_typed(suspended, word)}"


def _closed(cordoned: Sequence[str]) -> Iterator[str]:
    if cordoned:
        again = f"kubectl directpv uncordon {_typed(cordoned, 'DRIVE')}"
        yield f"cordoned: {_some(cordoned)}; to place volumes there again: {again}"


def _typed(which: Sequence[str], word: str) -> str:
    """Return what to type: the only name, or what stands for several."""
    return which[0] if len(which) == 1 else f"{word} …"


def notes(heard: Heard) -> list[str]:
    """Return what people decided and should not forget; it makes nothing unhealthy."""
    lenient = [node.info.name for node in heard.nodes if not node.info.quota_enforced]
    suspended = [name_of(drive.record) for drive in heard.drives if names.is_suspended(drive.record.labels)]
    cordoned = [name_of(drive.record) for drive in heard.drives if drive.record.unschedulable]
    versions = {node.info.version for node in heard.nodes if node.online} | {heard.controller}
    return [
        *([f"{_some(lenient)}: sizes of volumes are not enforced (--quota=best-effort)"] if lenient else []),
        *_hidden("drives", suspended, "DRIVE"),
        *_hidden("volumes", heard.suspended, "VOLUME"),
        *([BEGIN] if heard.leader and heard.nodes and not heard.drives and not heard.unheard else []),
        *_returned(heard.nodes),
        *_of_moves(heard),
        *_closed(cordoned),
        *(["programs of different versions run; end the upgrade"] if len(versions - {""}) > 1 else []),
    ]


def _returned(nodes: Sequence[m.NodeSummary]) -> Iterator[str]:
    """Yield which nodes are heard that were given up, and have no drives yet."""
    for node in [node for node in nodes if node.given_up][:NAMED]:
        yield (
            f"node {node.info.name} was removed at {node.given_up}, and is heard again: none of the drives that it had "
            f"is taken in; they are shown by: kubectl directpv discover --all --nodes {node.info.name}"
        )


def _of_moves(heard: Heard) -> Iterator[str]:
    """Yield what moves wait for that wait for people; the others go on by themselves."""
    for move in [move for move in heard.moves if move.state is m.MoveState.WAITING][:NAMED]:
        yield f"the move of volume {move.name} waits for {WAITS_FOR}"
    ending = [move for move in heard.moves if move.state is m.MoveState.FLIPPED and move.message]
    for move in [move for move in ending if move.held_up < HELD_UP_SECONDS][:NAMED]:
        left = f"what it was is not removed yet from drive {move.source}"
        yield f"volume {move.name} was moved, and {left}: {move.message}"
    if others := [move.name for move in heard.moves if move.state not in (m.MoveState.WAITING, m.MoveState.FAILED)]:
        yield f"being moved: {_some(others)}; see: kubectl directpv move"


def of_services(heard: Heard) -> Iterator[str]:
    """Yield what is not well with controller, bus and stream."""
    if not heard.leader:
        yield (
            "no controller leads: nothing can be placed or changed, and of nodes, drives and volumes nothing is known; "
            "look at the controllers' logs, and whether they run (kubectl -n directpv get pods,leases; on one machine: "
            "directpv status)"
        )
    elif heard.unheard:
        yield f"not everything could be listed, so that nobody knows whether it is well: {heard.unheard}; repeat"
    if not heard.stream:
        yield "there is no event stream: what happens is not kept; JetStream of the NATS servers must be enabled"


def of_nodes(heard: Heard) -> Iterator[str]:
    """Yield which nodes are away, the first of them by name."""
    if not heard.nodes and not heard.unheard:
        yield "no node agent was heard; is DirectPV installed, and do its pods run, or its processes (directpv status)?"
    for node in [node for node in heard.nodes if not node.online][:NAMED]:
        since = f" since {age_of(node.last_seen)}" if age_of(node.last_seen) else ""
        waiting = sum(volume.node == node.info.name for volume in heard.deleting)
        more = f"; {counted(waiting, 'volume')} Deleting until then" if waiting else ""
        yield f"node {node.info.name} is offline{since}: start its agent, or the machine{more}"


def of_stuck_moves(heard: Heard) -> Iterator[str]:
    """Yield which moves do not go on without people, the first of them by name."""
    for move in [move for move in heard.moves if move.state is m.MoveState.FAILED][:NAMED]:
        yield (
            f"the move of volume {move.name} has failed, and nothing was lost: {move.message}; mend that, repeat it, "
            f"or: kubectl directpv move --cancel {move.name}"
        )
    for move in [move for move in heard.moves if move.held_up >= HELD_UP_SECONDS][:NAMED]:
        yield f"volume {move.name}: {held_up(move)}"


def held_up(move: m.MoveStatus) -> str:
    """Return what of a move does not end, since when, why, and what helps."""
    back, left = f"its move to drive {move.target} cannot be taken back", f"what it was on drive {move.source}"
    what = back if move.state is m.MoveState.CANCELLING else f"{left} cannot be removed, though it was moved"
    return (
        f"{what}, for {age_text(move.held_up)} now: {move.message}; end that on node {move.node}, and it goes on by "
        "itself: until then its space is taken on both drives"
    )


def _of_drives(heard: Heard) -> Iterator[str]:
    offline = {node.info.name for node in heard.nodes if not node.online}
    unwell = [drive for drive in heard.drives if drive.record.status is not m.DriveStatus.READY]
    for drive in [drive for drive in unwell if not drive.record.conditions][:NAMED]:
        name = name_of(drive.record)
        yield f"{name} is {drive.record.status}; why: kubectl directpv explain drive {drive.record.fsuuid}"
    told = [drive for drive in heard.drives if drive.record.node not in offline or drive in unwell]
    yield from causes(told, advice=True)


def _of_contested(heard: Heard) -> Iterator[str]:
    """Yield which volumes several drives show, the first of them by name."""
    shown: dict[str, list[str]] = {}
    for drive in heard.drives:
        for name in drive.contested:
            shown.setdefault(name, []).append(name_of(drive.record))
    homes = {name: home for drive in heard.drives for name, home in drive.contested.items()}
    for name in sorted(shown)[:NAMED]:
        meant = f"the registry has it on drive {homes[name]}" if homes[name] else "the registry does not know it"
        where = _some(sorted(shown[name]))
        yield f"volume {name} is shown by {where}, and {meant}; what to do: kubectl directpv explain volume {name}"
    if (more := sum(drive.contesting for drive in heard.drives) - sum(map(len, list(shown.values())[:NAMED]))) > 0:
        yield f"{more} more such volumes: kubectl directpv events --type volume.conflict"


def name_of(record: m.DriveRecord) -> str:
    """Return what people call a drive: NODE/DEVICE, or its id while no device carries it."""
    return title(record)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
