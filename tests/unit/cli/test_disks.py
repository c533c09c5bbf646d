"""A drive that its node does not find is not dead if its disk is in another node: people hear so before they act."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import typer

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing import remove_lost
from directpv_cli.commands.looking import explain
from directpv_common.protocol.api import Controller, Node

ID = "1a6d8f0e-0c7c-4bb4-a2c5-2f9d5d0c5b01"
LOST = m.DriveRecord(fsuuid=ID, node="n1", last_device="sda", total=9, overhead=0, status=m.DriveStatus.LOST)


class Nodes:
    """Three nodes, the last of them away; a disk is in one of them, or in none."""

    def __init__(self, home: str) -> None:
        self.home = home

    async def call(self, endpoint: object, request: Any, **how: Any) -> object:
        if endpoint is Controller.DRIVE_LIST:
            return m.DrivePage(drives=(m.DriveInfo(record=LOST, free=1, allocated=0, volumes=2),))
        if endpoint is Controller.NODE_LIST:
            infos = [m.NodeInfo(name=name, topology={}) for name in ("n1", "n2", "n3")]
            return m.NodePage(nodes=tuple(m.NodeSummary(info=info, online=info.name != "n3") for info in infos))
        if endpoint is Controller.DRIVE_REMOVE:
            outcome = m.RemovalOutcome.WOULD_REMOVE if request.dry_run else m.RemovalOutcome.REMOVED
            return m.DriveRemoval(fsuuid=ID, node="n1", outcome=outcome, count=2)
        assert (endpoint, how["node"]) in {(Node.DRIVE_SEEN, "n1"), (Node.DRIVE_SEEN, "n2")}
        seen = (m.SeenDrive(fsuuid=ID, device="sdx", node="n1", count=2),) if how["node"] == self.home else ()
        return m.SeenDrives(node=how["node"], drives=seen)


WHERE = "its disk is in node n2 (sdx), with 2 of its volumes; to serve them there:"


@pytest.fixture(autouse=True)
def nothing_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(explain, "_of_drive", nothing)


def run_on(home: str) -> Callable[[Callable[[Any], Awaitable[Any]]], Any]:
    return lambda work: asyncio.run(work(Nodes(home)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("home", "told"), [("n2", True), ("n1", False), ("", False)])
def test_explain_says_in_which_other_node_the_disk_of_a_lost_drive_is(
    home: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(explain, "run", run_on(home))
    explain.drive(ID)

    said = " ".join(capsys.readouterr().out.split())
    assert (WHERE in said, "recover n2/sdx" in said) == (told, told)


@pytest.mark.parametrize(("home", "told"), [("n2", True), ("", False)])
def test_the_plan_of_giving_up_a_drive_says_that_its_disk_is_in_another_node(
    home: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remove_lost, "run", run_on(home))
    with pytest.raises(typer.Exit):
        remove_lost.lost([ID], remove_lost.Flags())

    said = " ".join(capsys.readouterr().err.split())
    assert (f"Drive {ID} is not dead: {WHERE}" in said) == told
    assert "would be removed with 2 volumes" in said
