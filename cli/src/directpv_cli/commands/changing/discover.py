"""``discover`` and ``init``: the handshake that turns devices into drives."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_drives, all_nodes
from directpv_cli.reaching.session import run
from directpv_cli.reading import drives_yaml
from directpv_cli.reading.statuses import USAGE_ERROR
from directpv_cli.reading.words import Words, device_names, expanded
from directpv_cli.showing.ages import age_of
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column, tint
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import checked, fail, plain, say, trouble
from directpv_cli.showing.terminal.progress import steps
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import task_group
from directpv_common.protocol.api import Controller, Node
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound

USED: Final = "Used by DirectPV"
REASONS: Final = 3
"""Devices of which it is said why they are none, where none can be initialised."""
EXISTED: Final = "Exists already, and was left as it is"
DEVICE_COLUMNS: Final = (
    Column("ID"),
    Column("NODE"),
    Column("DRIVE"),
    Column("SIZE"),
    Column("FILESYSTEM", goes=1),
    Column("MAKE", goes=2),
    Column("AVAILABLE", state=True),
    Column("DESCRIPTION", folds=24),
)
RESULT_COLUMNS: Final = (Column("DRIVE ID"), Column("NODE"), Column("DRIVE"), Column("MESSAGE", folds=24))


@dataclass
class Found:
    """What discovery brought: devices as (node, device), and nodes that did not answer, with the reason."""

    devices: list[tuple[str, m.Device]] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


def discover(nodes: Words, drives: Words, *, all_devices: bool, file: Path, output: str, timeout: float) -> None:
    """Ask the nodes for their devices, show them, and write those that may be initialised to ``file``.

    A node that does not answer costs only its own devices; the exit status is 1 then, the file is written.
    """
    printer = output_format(output, wide=False)
    wanted = checked(lambda: (expanded(nodes), device_names(drives)))
    found = run(lambda bus: find(bus, wanted[0], timeout))
    devices = [(node, device) for node, device in found.devices if not wanted[1] or device.name in wanted[1]]
    shown = [pair for pair in devices if all_devices or not pair[1].denied]
    if printer:
        printer([{"node": node, **msgspec.to_builtins(device)} for node, device in shown])
    elif shown:
        show_devices(shown)
    for node, reason in found.silent.items():
        trouble(f"{node}: {reason}")
    available = [pair for pair in devices if not pair[1].denied]
    if available:
        _write(file, available)
    elif all_devices and shown:  # who wants to see why not has seen it
        say(plain(f"{_none_left(devices)}, so {file} was not written"))
    else:
        fail(f"{_none_left(devices)}; `discover --all` shows all devices and why not")
    if found.silent:
        held = f"; {file} holds the devices of the others" * bool(available)
        fail(f"{len(found.silent)} of the nodes did not answer{held}")


def _none_left(devices: list[tuple[str, m.Device]]) -> str:
    """Return that no device can be initialised, whether that is because drives are, and why some others are none."""
    drives = sum(USED in device.denied for _, device in devices)
    used = f": {counted(drives, 'device')} in use as drives already" * bool(drives)
    others = [(node, device) for node, device in devices if device.denied and USED not in device.denied]
    why = [f"{node}/{device.name}: {', '.join(device.denied)}" for node, device in others[:REASONS]]
    return f"no device can be initialised{used}{''.join(f'; {each}' for each in why)}"


def _write(file: Path, devices: list[tuple[str, m.Device]]) -> None:
    try:
        former = _kept(file, text := drives_yaml.render(devices))
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}")
    name = plain(str(file))
    if former:
        say(f"{name} was another one before; that is {plain(str(former))} now")
    say(f"Wrote [green]{name}[/green]. Check it, then run [bold]kubectl directpv init {name} --dangerous[/bold]")


def _kept(file: Path, text: str) -> Path | None:
    """Copy what is in ``file``, perhaps by a person's hand, beside it before ``text`` replaces it; None: nothing is.

    Raises:
        OSError: It cannot be read or copied.
    """
    if not file.is_file() or file.read_bytes() == text.encode():
        return None
    former = file.with_name(f"{file.name}.old")
    shutil.copy2(file, former)
    return former


async def find(bus: Bus, nodes: tuple[str, ...], timeout: float) -> Found:
    """Ask ``nodes`` (empty: all that the controller knows) for their devices, side by side."""
    known = {node.info.name: node for node in await all_nodes(bus)}
    names = nodes or tuple(known)
    owners = {drive.record.fsuuid: drive.record.node for drive in await all_drives(bus, m.ListDrives())}
    found = Found()
    with steps("Discovering", names) as progress:

        async def ask(node: str) -> None:
            try:
                require_there(node, known)
                reply = await bus.call(Node.DEVICE_LIST, m.Empty(), node=node, within=timeout, attempt=timeout)
                found.devices += [(node, _with_owner(device, owners)) for device in reply.devices]
                progress.done(node)
            except DirectPVError as error:
                found.silent[node] = error.message
                progress.failed(node)

        async with task_group() as group:
            for name in names:
                group.create_task(ask(name))
    found.devices.sort(key=lambda pair: (pair[0], pair[1].name))
    return found


def require_there(name: str, known: Mapping[str, m.NodeSummary]) -> None:
    """Raise if the node is not one that can answer: nobody shall wait for it.

    Raises:
        FailedPrecondition: It is offline.
        NotFound: The controller knows no such node.
    """
    node = known.get(name)
    if node is None:
        raise NotFound("no such node: its agent was never heard; `kubectl directpv info` lists the nodes")
    if not node.online:
        since = f", last heard {age_of(node.last_seen)} ago" if node.last_seen else ""
        raise FailedPrecondition(f"the node is offline{since}; start its agent, or its machine, then repeat")


def _with_owner(device: m.Device, owners: dict[str, str]) -> m.Device:
    """A file system that the registry knows as a drive, of whatever node, may not be initialised."""
    if device.fsuuid not in owners or USED in device.denied:
        return device
    return msgspec.structs.replace(device, denied=(*device.denied, USED))


def show_devices(devices: list[tuple[str, m.Device]]) -> None:
    """Print the table of devices."""
    tables.show(DEVICE_COLUMNS, [_device_row(node, device) for node, device in devices])


def _device_row(node: str, device: m.Device) -> list[str]:
    available = "NO" if device.denied else "YES"
    remark = "; ".join(device.denied) or ("has a signature: select it by hand" if device.needs_force else "")
    size = tables.size(device.size)
    return [f"{device.id[:16]}...", node, device.name, size, device.fs_type, device.make, available, remark]


def init(file: Path, *, dangerous: bool, output: str, timeout: float) -> None:
    """Format what ``file`` selects; the exit status is 1 if any device failed."""
    printer = output_format(output, wide=False)
    requests = checked(lambda: drives_yaml.read(file))
    if not requests:
        fail(f'{file} selects no device; set select: "yes" for each device to format', USAGE_ERROR)
    if not dangerous:
        devices = sum(len(request.devices) for request in requests)
        fail(f"this erases {counted(devices, 'device')}; add --dangerous if that is what you want")
    results = run(lambda bus: format_all(bus, requests, timeout))
    failed = sum(bool(result.error) for _, result in results)
    if printer:
        printer([{"node": node, **msgspec.to_builtins(result)} for node, result in results])
    else:
        show_results(results)
    if failed:
        fail(f"{failed} of {counted(len(results), 'device')} {'was' if failed == 1 else 'were'} not initialised")


async def format_all(bus: Bus, requests: list[m.InitDevices], timeout: float) -> list[tuple[str, m.FormatResult]]:
    """Let every node format its devices, side by side; a node that fails gives a failure per device."""
    results: list[tuple[str, m.FormatResult]] = []
    with steps("Formatting", [request.node for request in requests]) as progress:

        async def ask(request: m.InitDevices) -> None:
            try:
                # Repeated while it waits: a leader that loses its lease meanwhile says nothing, and a repeat joins.
                reply = await bus.call(Controller.DRIVE_INIT, request, within=timeout)
                results.extend((request.node, result) for result in reply.results)
                progress.done(request.node)
            except DirectPVError as error:
                failures = (m.FormatResult(name=device.name, error=error.message) for device in request.devices)
                results.extend((request.node, failure) for failure in failures)
                progress.failed(request.node)

        async with task_group() as group:
            for request in requests:
                group.create_task(ask(request))
    return sorted(results, key=lambda pair: (pair[1].error, pair[0], pair[1].name))


def show_results(results: list[tuple[str, m.FormatResult]]) -> None:
    """Print the table of outcomes."""
    rows = [
        [
            result.drive.fsuuid if result.drive else "",
            node,
            result.name,
            tint(result.error, "red") if result.error else tint(EXISTED if result.existed else "Success", "green"),
        ]
        for node, result in results
    ]
    tables.show(RESULT_COLUMNS, rows)
