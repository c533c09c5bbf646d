"""``status`` says that all is well only if everybody was asked."""

from pathlib import Path

import directpv_common.protocol.messages as m
from directpv_cli.commands.looking.status import hear
from directpv_cli.showing.health import troubles
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.events import ensure_stream
from directpv_common.bus.service import serve
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Internal
from support.nats import nats_server


async def test_a_list_that_cannot_be_read_is_a_trouble_and_not_an_empty_list(tmp_path: Path) -> None:
    info = m.NodeInfo(name="n1", topology={}, version="1")
    refused = [True]

    async def nodes(_: m.ListNodes) -> m.NodePage:
        return m.NodePage(nodes=(m.NodeSummary(info=info, online=True),))

    async def drives(_: m.ListDrives) -> m.DrivePage:
        return m.DrivePage(drives=())

    async def volumes(_: m.ListVolumes) -> m.VolumePage:
        if refused[0]:
            raise Internal("a page cannot be made")
        return m.VolumePage(volumes=())

    handlers = {Controller.NODE_LIST: nodes, Controller.DRIVE_LIST: drives, Controller.VOLUME_LIST: volumes}
    with nats_server(tmp_path / "nats") as server:
        async with (
            connect_bus(server.url, name="test", prefix="directpv.v1") as bus,
            serve(
                bus, name="directpv-controller", description="x", handlers=handlers, queue="q", metadata={"holder": "c"}
            ),
        ):
            await ensure_stream(bus)
            (trouble,) = troubles(await hear(bus))
            assert "a page cannot be made" in trouble
            refused[0] = False
            assert troubles(await hear(bus)) == []
