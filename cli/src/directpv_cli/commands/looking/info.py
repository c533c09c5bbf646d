"""``info``: what each node has."""

import sys

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_nodes, unwell_drives, warn
from directpv_cli.reaching.session import run
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal import screen, tables
from directpv_cli.showing.terminal.cells import tint
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say
from directpv_cli.showing.unwell import causes
from directpv_common.bus.bus import Bus
from directpv_common.protocol.counts import counted


def info(output: str) -> None:
    """Print a row per node and a line of totals; exits with 1 if DirectPV runs on no node."""
    printer = output_format(output, wide=False)
    nodes, unwell = run(lambda bus: _nodes_and_unwell(bus, ask=printer is None))
    if printer:
        printer(msgspec.to_builtins(nodes))
        return
    if not nodes:
        fail("no node agent has been heard; is DirectPV installed?")
    if settings.quiet:
        return
    ordered = sorted(nodes, key=lambda node: (node.drives, node.volumes, node.allocated, node.total, node.info.name))
    tables.show(["NODE", "CAPACITY", "ALLOCATED", "VOLUMES", "DRIVES"], [_row(node) for node in ordered])
    total, allocated = sum(node.total for node in nodes), sum(node.allocated for node in nodes)
    volumes, drives = sum(node.volumes for node in nodes), sum(node.drives for node in nodes)
    held = f"{counted(volumes, 'volume')}, {counted(drives, 'drive')}"
    say(f"{tables.size(allocated) or '0 B'}/{tables.size(total) or '0 B'} used, {held}")
    for node in nodes:
        if not node.info.quota_enforced:
            say(f"[yellow]{plain(node.info.name)}: volume sizes are not enforced (quota best-effort)[/yellow]")
    warn(causes(unwell))


async def _nodes_and_unwell(bus: Bus, *, ask: bool) -> tuple[list[m.NodeSummary], list[m.DriveInfo]]:
    return await all_nodes(bus), await unwell_drives(bus) if ask else []


def _row(node: m.NodeSummary) -> list[str]:
    colour = "red" if not node.online else "green" if node.drives else "yellow"
    bullet = "• " if screen.says_unicode(sys.stdout) else "* "
    state = "" if node.online else " (offline)"
    return [
        tint(f"{bullet}{node.info.name}{state}", colour),
        tables.size(node.total),
        tables.size(node.allocated),
        str(node.volumes) if node.volumes else "",
        str(node.drives) if node.drives else "",
    ]
