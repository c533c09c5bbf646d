"""``explain pvc|volume|drive|device``: why something is as it is, and the smallest change that would help."""

import json
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.disks import whereabouts
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes, moves_of
from directpv_cli.commands.looking.describe import lately
from directpv_cli.reaching.kubectl import kubectl, require_cluster
from directpv_cli.reaching.session import run
from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.reading.settings import settings
from directpv_cli.showing import whys
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.terminal import pages
from directpv_cli.showing.terminal.lines import checked
from directpv_common.bus.bus import Bus
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.process.command import output_of
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound, Unavailable

ASK_SECONDS: Final = 30.0
DEVICE_SECONDS: Final = 30.0
PLACEMENT_SECONDS: Final = 5.0
"""A new leader is there in less."""


def drive(word: str) -> None:
    """Say why a drive takes no volumes, or is not well."""

    async def work(bus: Bus) -> list[str]:
        (info,) = await all_drives(bus, m.ListDrives(ids=(word,)))
        record = info.record
        places = await whereabouts(bus, {record.fsuuid: record.node} if record.status is m.DriveStatus.LOST else {})
        return [*whys.of_drive(info, await _of_drive(bus, record.fsuuid)), *(f"- {where}" for where in places.values())]

    pages.text(run(work))


def volume(name: str) -> None:
    """Say how a volume is, or why there is none of that name."""
    pages.text(run(lambda bus: _volume(bus, name)))


async def _volume(bus: Bus, name: str) -> list[str]:
    try:
        (info,) = await all_volumes(bus, m.ListVolumes(names=(name,), deleting=True))
    except NotFound as error:
        if contested := await _contested(bus, name):
            return contested
        refused = await lately(bus, EventFilter.of(None, (), [name], ["volume.refused"]))
        if refused.unread:
            raise Unavailable(f"{error.message}; whether it was refused cannot be read: {refused.unread}") from error
        if not refused.events:
            raise
        last = refused.events[-1]
        asked = checked(lambda: whys.refused_request(name, last.data))
        lines = [f"volume {name} was not placed, {age_of(last.time)} ago: {last.data.get('cause', '')}"]
        return [*lines, "now:", *whys.of_placement(asked, await _placement(bus, asked))]
    found = await all_drives(bus, m.ListDrives(ids=(info.record.fsuuid,)))
    moving = await moves_of(bus, (name,))
    return [*whys.of_volume(info, found[0], await _of_drive(bus, info.record.fsuuid)), *whys.of_moves(moving)]


async def _contested(bus: Bus, name: str) -> list[str]:
    """Return what drives show of a volume that the registry does not have; nothing if they show none."""
    try:
        health = await bus.call(Controller.VOLUME_HEALTH, m.GetVolumeHealth(name=name))
    except (NotFound, Unavailable):
        return []
    return [
        f"volume {name} is not in the registry, and is not served",
        *(f"- {each.message}" for each in health.ailments),
    ]


async def _of_drive(bus: Bus, fsuuid: str) -> list[CloudEvent]:
    """Return what happened to a drive lately; nothing if that cannot be read: what is wrong with it is known anyhow."""
    return (await lately(bus, EventFilter.of(None, (fsuuid,), None, ["drive"]))).events


async def _placement(bus: Bus, request: m.ExplainPlacement) -> m.Placement:
    """Ask the controller, which may be of a version that cannot answer.

    Raises:
        FailedPrecondition: Nobody answers; says what that may mean.
    """
    try:
        return await bus.call(Controller.PLACEMENT_EXPLAIN, request, within=PLACEMENT_SECONDS)
    except Unavailable as error:
        raise FailedPrecondition(
            f"{error.message}; if `kubectl directpv status` names a leader, it is of a version that cannot explain "
            "placements: upgrade it"
        ) from error


def device(word: str) -> None:
    """Say why a device, NODE/DEVICE, may not become a drive."""
    node, slash, name = word.partition("/")
    name = name.removeprefix("dev/")

    def read() -> None:
        if not (node and slash and name):
            raise ValueError(f"{word!r}: write NODE/DEVICE, for instance node-1/sda")

    checked(read)
    pages.text(run(lambda bus: _device(bus, node, name)))


async def _device(bus: Bus, node: str, name: str) -> list[str]:
    known = {each.info.name: each for each in await all_nodes(bus)}
    if node not in known:
        raise NotFound(f"no node is called {node}; `kubectl directpv info` lists the nodes")
    drives = await all_drives(bus, m.ListDrives(nodes=(node,), devices=(name,)))
    if drives:
        return whys.of_device(node, m.Device(name=name, id="", major_minor="", size=0), drives[0].record.fsuuid)
    if not known[node].online:
        raise FailedPrecondition(f"node {node} is offline: start its agent, or its machine, then repeat")
    reply = await bus.call(
        Node.DEVICE_LIST, m.Empty(), node=node, within=DEVICE_SECONDS, attempt=DEVICE_SECONDS, patient=False
    )
    for found in reply.devices:
        if found.name == name:
            return whys.of_device(node, found, "")
    raise NotFound(f"node {node} has no block device {name}, or one that its agent may not touch; see discover --all")


def pvc(word: str, namespace: str) -> None:
    """Say why a claim is pending, or how its volume is; kubectl is asked for what Kubernetes knows of it."""
    place, _, name = word.rpartition("/")
    pages.text(run(lambda bus: _pvc(bus, name, place or namespace)))


async def _pvc(bus: Bus, name: str, namespace: str) -> list[str]:
    require_cluster("only there are claims; a stack on one machine has volumes: explain volume NAME")
    within = ["-n", namespace] if namespace else []
    claim = await _object("persistentvolumeclaim", name, *within)
    wanted = claim["spec"].get("storageClassName")
    storage = await _class(wanted) if wanted else None
    field = f"involvedObject.uid={claim['metadata']['uid']}"
    events = await _json("get", "events", "-n", claim["metadata"]["namespace"], "--field-selector", field)
    said = [str(event.get("message", "")) for event in events.get("items", []) if event.get("type") == "Warning"]
    lines, asked = whys.of_claim(claim, storage, said)
    if claim["spec"].get("volumeName"):
        return [*lines, *(await _volume(bus, claim["spec"]["volumeName"]))]
    if not asked or storage is None:
        return lines
    request = checked(lambda: whys.request_of(claim, storage, asked))
    return [*lines, *whys.of_placement(request, await _placement(bus, request))]


async def _class(name: str) -> dict[str, Any] | None:
    try:
        return await _object("storageclass", name)
    except DirectPVError as error:
        if "NotFound" in error.message:
            return None
        raise


async def _object(kind: str, name: str, *within: str) -> dict[str, Any]:
    return await _json("get", kind, name, *within)


async def _json(*words: str) -> dict[str, Any]:
    text = await output_of(*kubectl(settings.kubeconfig, *words, "-o", "json"), within=ASK_SECONDS)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise FailedPrecondition(f"kubectl {' '.join(words)} did not print JSON: {error}") from error
    return found
