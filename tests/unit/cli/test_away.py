"""Nobody waits for a node that is known to be away, or not known at all."""

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing.discover import find
from directpv_common.protocol.api import Controller, Endpoint, Node


class PlayedBus:
    """Two nodes, one of them offline; who is asked is noted."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def call(self, endpoint: Endpoint[object, object], request: object, **how: object) -> object:
        if endpoint is Controller.NODE_LIST:
            info = {name: m.NodeInfo(name=name, topology={}) for name in ("n1", "n2")}
            return m.NodePage(nodes=tuple(m.NodeSummary(info=info[name], online=name == "n1") for name in info))
        if endpoint is Controller.DRIVE_LIST:
            return m.DrivePage(drives=())
        assert endpoint is Node.DEVICE_LIST
        self.asked.append(str(how["node"]))
        return m.DeviceList(node=str(how["node"]), devices=(m.Device(name="sda", id="x", major_minor="8:0", size=1),))


@pytest.mark.parametrize("nodes", [(), ("n1", "n2", "n9")])
async def test_discover_asks_nodes_that_are_there_and_names_the_others_at_once(nodes: tuple[str, ...]) -> None:
    bus = PlayedBus()
    found = await find(bus, nodes, 60)  # type: ignore[arg-type]

    assert bus.asked == ["n1"]
    assert [node for node, _ in found.devices] == ["n1"]
    assert "the node is offline" in found.silent["n2"]
    assert "no such node" in found.silent.get("n9", "no such node")
