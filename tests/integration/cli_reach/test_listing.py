"""What the tool lists: all pages, and drives in states that it does not know."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_cli.commands.listing import all_nodes, unwell_drives
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from support.nats import nats_server


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    with nats_server(tmp_path / "nats") as server:
        async with connect_bus(server.url, name="test", prefix="directpv.v1") as connected:
            yield connected


async def test_nodes_of_all_pages_are_listed(bus: Bus) -> None:
    names = [f"n{number}" for number in range(7)]

    async def page(request: m.ListNodes) -> m.NodePage:
        assert request.paged
        begin = int(request.token or 0)
        nodes = tuple(m.NodeSummary(info=m.NodeInfo(name=name, topology={}), online=True) for name in names[begin:])
        return m.NodePage(nodes=nodes[:3], next=str(begin + 3) if len(nodes) > 3 else "")

    async with serve(bus, name="x", description="x", handlers={Controller.NODE_LIST: page}, queue="q"):
        assert [node.info.name for node in await all_nodes(bus)] == names


async def test_a_drive_in_a_state_of_a_later_version_is_not_overlooked_whichever_controller_lists_it(bus: Bus) -> None:
    well = m.DriveRecord(fsuuid=str(uuid.uuid4()), node="n1", total=2, overhead=1)
    later = replace(well, fsuuid=str(uuid.uuid4()), status=m.DriveStatus("Resting"))
    drives = tuple(m.DriveInfo(record=record, free=0, allocated=0, volumes=0) for record in (well, later))

    async def all_of_them(request: m.ListDrives) -> m.DrivePage:
        """As a controller does that knows of no ``unwell``."""
        assert not request.statuses
        return m.DrivePage(drives=drives)

    async with serve(bus, name="x", description="x", handlers={Controller.DRIVE_LIST: all_of_them}, queue="q"):
        assert [drive.record for drive in await unwell_drives(bus)] == [later]
