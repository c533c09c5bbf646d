"""Nobody waits for a node that is known to be away, or not known at all."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing import discover
from directpv_cli.commands.changing.discover import USED, find
from directpv_common.protocol.api import Controller, Endpoint, Node


class PlayedBus:
    """Two nodes, one of them offline; who is asked is noted."""

    def __init__(self, *denied: str) -> None:
        self.asked: list[str | None] = []
        self.device = m.Device(name="sda", id="x", major_minor="8:0", size=1, denied=denied)

    async def call(self, endpoint: Endpoint[object, object], request: object, **how: object) -> object:
        if endpoint is Controller.NODE_LIST:
            info = {name: m.NodeInfo(name=name, topology={}) for name in ("n1", "n2")}
            return m.NodePage(nodes=tuple(m.NodeSummary(info=info[name], online=name == "n1") for name in info))
        if endpoint is Controller.DRIVE_LIST:
            return m.DrivePage(drives=())
        assert endpoint is Node.DEVICE_LIST
        self.asked.append(str(how["node"]))
        return m.DeviceList(node=str(how["node"]), devices=(self.device,))


@pytest.mark.parametrize("nodes", [(), ("n1", "n2", "n9")])
async def test_discover_asks_nodes_that_are_there_and_names_the_others_at_once(nodes: tuple[str, ...]) -> None:
    bus = PlayedBus()
    found = await find(bus, nodes, 60)  # type: ignore[arg-type]

    assert bus.asked == ["n1"]
    assert [node for node, _ in found.devices] == ["n1"]
    assert "the node is offline" in found.silent["n2"]
    assert "no such node" in found.silent.get("n9", "no such node")


@pytest.mark.parametrize("denied", [(), (USED,)])
def test_discover_all_ends_with_how_many_nodes_were_silent_and_names_a_file_only_if_it_was_written(
    denied: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(PlayedBus(*denied)))  # type: ignore[arg-type]

    monkeypatch.setattr(discover, "run", run)
    file = tmp_path / "drives.yaml"

    with pytest.raises(typer.Exit) as ended:
        discover.discover(None, None, all_devices=True, file=file, output="", timeout=60)

    *_, last = " ".join(capsys.readouterr().err.split()).split("ERROR")
    assert ended.value.exit_code == 1
    assert last.startswith(" 1 of the nodes did not answer")
    assert (str(file) in last, file.exists()) == (not denied, not denied)
