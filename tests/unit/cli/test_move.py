"""What ``move`` says without asking anybody."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import directpv_common.protocol.messages as m
from directpv_cli.app import app
from directpv_cli.commands.changing import move
from directpv_cli.commands.changing.following import Result, tell
from directpv_cli.showing.moving import remaining, row
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.protocol.api import Controller

LEFT, OTHER = "1a6d8f0e-0c7c-4bb4-a2c5-2f9d5d0c5b01", "1a6d8f0e-0c7c-4bb4-a2c5-2f9d5d0c5b02"
NO_BUS: Any = None
"""Nothing is asked of it."""
BUS = "--nats-url=nats://127.0.0.1:1"


def test_without_data_nothing_moves_and_the_advice_says_what_to_do() -> None:
    result = CliRunner().invoke(app, [BUS, "move", "abcd", "ef01"])

    assert result.exit_code == 1
    assert "--with-data" in result.stderr
    assert "empty volumes" in result.stderr


@pytest.mark.parametrize("limit", ["3", "fast", "-1", "10E", "9" * 30 + "P", "9" * 400 + ".5"])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    result = CliRunner().invoke(app, [BUS, "move", "abcd", "ef01", "--with-data", f"--limit={limit}"])

    assert (result.exit_code, "--limit" in result.stderr) == (255, True)


@pytest.mark.parametrize("flag", ["--with-data", "--limit=50M", "--limit=0", "--volume=pvc-1", "--dry-run"])
def test_who_cancels_a_move_is_told_what_does_not_go_with_that(flag: str) -> None:
    result = CliRunner().invoke(app, [BUS, "move", "--cancel", "pvc-1", flag])

    assert result.exit_code == 255
    assert f"leave out {flag.partition('=')[0]}" in result.stderr


@pytest.mark.parametrize("flag", ["--with-data", "--limit=50M", "--volume=pvc-1", "--dry-run"])
def test_who_says_how_to_move_and_not_what_is_asked_for_drives(flag: str) -> None:
    result = CliRunner().invoke(app, [BUS, "move", flag])

    assert (result.exit_code, "name two drives" in result.stderr) == (255, True)


@pytest.mark.parametrize(
    ("done", "total", "rate", "said"),
    [(0, 10, 0, ""), (10, 10, 5, ""), (0, 100, 5, "20s"), (0, 700, 5, "2m20s"), (0, 36_000, 2, "5h0m")],
)
def test_the_time_that_is_left_follows_from_the_rate(done: int, total: int, rate: int, said: str) -> None:
    assert remaining(m.MoveStatus(name="v", done=done, total=total, rate=rate)) == said


def test_a_row_has_bytes_rate_and_time() -> None:
    status = m.MoveStatus(
        name="v", node="n1", source="a" * 36, target="b" * 36, state=m.MoveState.COPYING, done=2**20, total=2**30,
        rate=2**20, message="",
    )  # fmt: skip
    assert row(status)[4:8] == ["Copying", "1 MiB of 1 GiB", "1 MiB/s", "17m3s"]


async def test_what_a_move_waits_for_is_said_once_however_many_passes_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Bytes change in every pass, and the state goes to and fro: neither is news."""
    result, said = Result("v", "a" * 36), []
    waiting = (m.MoveState.WAITING, "process 7 has files open")
    for state, message in [(m.MoveState.COPYING, ""), waiting] * 3 + [
        (m.MoveState.WAITING, "process 8 has files open")
    ]:
        status = m.MoveStatus(name="v", state=state, message=message)
        await tell(NO_BUS, result, status)
        said.append(capsys.readouterr().err)

    assert ["copied but for the last pass" in each for each in said] == [False, True, *[False] * 4, True]


class Meanwhile:
    """A drive whose only volume moves to another one, while another comes to it, and goes on or has come."""

    def __init__(self, *, came: bool) -> None:
        self.came, self.begun = came, False

    async def call(self, endpoint: object, request: Any, **_: object) -> object:
        if endpoint is Controller.VOLUME_MOVE:
            self.begun = True
            return m.MoveStatus(name="v1", source=LEFT, target=OTHER, state=m.MoveState.COPYING)
        if endpoint is Controller.MOVE_LIST:
            coming = m.MoveStatus(name="v2", source=OTHER, target=LEFT, state=m.MoveState.COPYING)
            return m.MoveList(moves=(coming,) if self.begun and not (self.came or request.names) else ())
        if endpoint is Controller.VOLUME_LIST:
            here = ["v2"] * self.came if self.begun else ["v1"]
            return m.VolumePage(volumes=tuple(m.VolumeInfo(record=volume(name, LEFT), node="n1") for name in here))
        if endpoint is Controller.VOLUME_GET:
            return m.VolumeInfo(record=volume(request.name, OTHER), node="n1")
        assert endpoint is Controller.DRIVE_CHANGE
        return m.DriveInfo(
            record=m.DriveRecord(fsuuid=LEFT, node="n1", device="sda", total=9, overhead=0),
            free=1, allocated=0, volumes=0,
        )  # fmt: skip


def volume(name: str, drive: str) -> m.VolumeRecord:
    return m.VolumeRecord(name=name, fsuuid=drive, capacity=1)


@pytest.mark.parametrize("came", [False, True])
def test_a_drive_that_somebody_else_moves_a_volume_to_meanwhile_is_not_said_to_be_evacuated(
    came: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(Meanwhile(came=came)))  # type: ignore[arg-type]

    monkeypatch.setattr(move, "run", run)

    with pytest.raises(typer.Exit) as ended:
        move.evacuate(LEFT, move.Flags(within=60))

    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.exit_code == 1
    assert f"Volume v1 is on drive {OTHER}" in said
    assert (f"v2: came to drive {LEFT} meanwhile" in said) == came
    assert (typeable("kubectl directpv move --cancel v2") in said) != came
    assert "1 of 2 moves has not ended as asked" in said


class Still:
    """A volume that is not being moved, and was moved from some drives before."""

    def __init__(self, *origins: str) -> None:
        self.origins = origins

    async def call(self, endpoint: object, request: Any, **_: object) -> object:
        if endpoint is Controller.VOLUME_MOVE:
            return m.MoveStatus(name=request.name, source=OTHER)
        assert endpoint is Controller.VOLUME_GET
        record = m.VolumeRecord(name=request.name, fsuuid=OTHER, capacity=1, origins=self.origins)
        return m.VolumeInfo(record=record, node="n1")


@pytest.mark.parametrize(
    ("origins", "status", "outcome", "said"),
    [
        ((), 0, "Cancelled", f"Volume v1 is not being moved: it stays on drive {OTHER}"),
        ((LEFT,), 1, "NotFound", f"v1: is not being moved: it is on drive {OTHER}, to which it was moved"),
    ],
)
def test_a_move_that_is_cancelled_again_is_no_failure_unless_it_has_ended(
    origins: tuple[str, ...], status: int, outcome: str, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(Still(*origins)))  # type: ignore[arg-type]

    monkeypatch.setattr(move, "run", run)
    ended = 0
    try:
        move.cancel(["v1"], move.Flags(within=60, output="json"))
    except typer.Exit as end:
        ended = end.exit_code

    told = capsys.readouterr()
    (shown,) = json.loads(told.out)["volumes"]
    assert (ended, shown["outcome"], shown["from"]) == (status, outcome, OTHER)
    assert said in " ".join(told.err.split())
