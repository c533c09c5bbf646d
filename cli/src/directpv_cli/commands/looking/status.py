"""``status``: one screen that says whether all is well, and an exit status that says the same."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_nodes, all_volumes, moves_of, warn
from directpv_cli.reaching.session import run
from directpv_cli.showing.health import Heard, lines_of, notes, troubles
from directpv_cli.showing.terminal import pages
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError

SERVICE_SECONDS = 2.0


def status(output: str) -> None:
    """Print it; exits with 0 only if the installation is healthy."""
    printer = output_format(output, wide=False)
    heard = run(hear)
    found, remarks = troubles(heard), notes(heard)
    if printer:
        facts = {name.lower(): text for name, text in lines_of(heard)}
        printer({**facts, "healthy": not found, "troubles": found, "notes": remarks})
    else:
        pages.show(
            [*lines_of(heard), ("Health", "healthy" if not found else f"{counted(len(found), 'trouble')}, below")]
        )
        warn([*found, *remarks])
    if found:
        fail(f"not healthy: {counted(len(found), 'trouble')}")


async def hear(bus: Bus) -> Heard:
    """Ask everybody; who does not answer is shown as such."""
    service, stream = await asyncio.gather(_service(bus), _stream(bus))
    nodes: list[m.NodeSummary] = []
    drives: list[m.DriveInfo] = []
    deleting: list[m.VolumeInfo] = []
    suspended: list[m.VolumeInfo] = []
    moves: Sequence[m.MoveStatus] = ()
    unheard = ""
    try:
        nodes = await all_nodes(bus, patient=bool(service))  # nobody waits for a leader that is not there
        drives = await all_drives(bus, m.ListDrives())
        deleting = await all_volumes(bus, m.ListVolumes(statuses=(m.VolumeStatus.DELETING,)))
        suspended = await all_volumes(bus, m.ListVolumes(labels={names.SUSPEND: "true"}))
        moves = await moves_of(bus)
    except DirectPVError as error:
        unheard = error.message
    metadata = service.get("metadata") or {}
    leads = f"{metadata.get('holder', '?')}, epoch {metadata.get('epoch', '?')}" if service else ""
    client = bus.client
    host = client.connected_url.netloc.rpartition("@")[2] if client.connected_url else "?"
    version = str(client.connected_server_version).strip("<>").removeprefix("nats server v")
    return Heard(
        leads,
        str(service.get("version", "")),
        f"{host}, nats-server {version}",
        stream,
        nodes,
        drives,
        deleting,
        unheard,
        [volume.record.name for volume in suspended],
        moves,
    )


async def _service(bus: Bus) -> dict[str, Any]:
    """Return what the controller that leads says of itself; others serve nothing. Source: ADR-32, INFO."""
    from nats.errors import Error

    try:
        reply = await bus.client.request("$SRV.INFO.directpv-controller", b"", timeout=SERVICE_SECONDS)
        found: dict[str, Any] = orjson.loads(reply.data)
    except (Error, TimeoutError, ValueError):
        return {}
    return found


async def _stream(bus: Bus) -> str:
    from nats.errors import Error

    try:
        state = (await bus.client.jetstream().stream_info(bus.subjects.stream)).state
    except (Error, TimeoutError):
        return ""
    return f"{state.messages} kept in {bus.subjects.stream}"
