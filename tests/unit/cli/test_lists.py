"""Lists for people and for programs: formats, order, what changes, and nothing that is there."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import typer

import directpv_common.protocol.messages as m
from directpv_cli.commands import listing
from directpv_cli.commands.changing import change
from directpv_cli.commands.looking import lists
from directpv_cli.reading.selection import UNASKED_DRIVES
from directpv_cli.showing.terminal.typed import typeable
from directpv_common.protocol.api import Controller, Endpoint


def drive(number: int, free: int = 1, **facts: Any) -> m.DriveInfo:
    asked = {"fsuuid": str(uuid.UUID(int=number)), "node": f"n{number}", "device": "sda", "total": 9, "overhead": 0}
    return m.DriveInfo(record=m.DriveRecord(**{**asked, **facts}), free=free, allocated=0, volumes=0)


class PlayedBus:
    """Answers lists with what a test has, one after another; notes what is changed."""

    def __init__(self, *lists_: list[m.DriveInfo]) -> None:
        self.lists = list(lists_)
        self.changes: list[m.ChangeDrive] = []

    async def call(self, endpoint: Endpoint[Any, Any], request: Any, **_: Any) -> Any:
        if endpoint is Controller.DRIVE_CHANGE:
            self.changes.append(request)
            return drive(1)
        found = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        kept = [each for each in found if not request.statuses or each.record.status in request.statuses]
        return m.DrivePage(drives=tuple(kept))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlayedBus]:
    def play(*found: list[m.DriveInfo]) -> PlayedBus:
        bus = PlayedBus(*found)

        def run(work: Callable[[Any], Awaitable[Any]]) -> Any:
            return asyncio.run(work(bus))  # type: ignore[arg-type]

        monkeypatch.setattr(lists, "run", run)
        monkeypatch.setattr(change, "run", run)
        return bus

    return play


Played = Callable[..., PlayedBus]
Out = pytest.CaptureFixture[str]
MANY = [drive(1, 7), drive(2, 5), drive(3, 6)]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("name", [f"directpvdrive.directpv.min.io/{each.record.fsuuid}" for each in MANY]),
        ("jsonpath={range .items[*]}{.status.freeCapacity}{'\\n'}{end}", ["7", "5", "6"]),
        ("jsonpath=.items[0].metadata.name", [MANY[0].record.fsuuid]),
    ],
)
def test_programs_get_names_and_what_a_template_shows(
    output: str, shown: list[str], played: Played, capsys: Out
) -> None:
    played(MANY)
    lists.drives(m.ListDrives(), lists.Flags(output=output))
    assert capsys.readouterr().out.splitlines() == shown


@pytest.mark.parametrize(
    ("by", "order"),
    [("", "n1 n2 n3"), ("free", "n2 n3 n1"), ("FREE", "n2 n3 n1"), (".status.freeCapacity", "n2 n3 n1")],
)
def test_a_list_is_sorted_by_a_column_or_a_path(by: str, order: str, played: Played, capsys: Out) -> None:
    played(MANY)
    lists.drives(m.ListDrives(), lists.Flags(sort_by=by, headers=False))
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == order.split()


@pytest.mark.parametrize("flags", [{"sort_by": "colour"}, {"output": "jsonpath={"}, {"output": "xml"}])
def test_what_cannot_be_shown_is_refused_with_255(flags: dict[str, str], played: Played) -> None:
    played(MANY)
    with pytest.raises(typer.Exit) as refused:
        lists.drives(m.ListDrives(), lists.Flags(**flags))  # type: ignore[arg-type]
    assert refused.value.exit_code == 255


def test_nothing_that_matches_is_said_and_no_error(played: Played, capsys: Out) -> None:
    played([])
    lists.drives(m.ListDrives(nodes=("n9",)), lists.Flags())
    lists.drives(m.ListDrives(nodes=("n9",)), lists.Flags(output="json"))

    told = capsys.readouterr()
    assert "no drives match" in told.err
    assert '"items": []' in told.out


def test_all_is_advised_where_it_shows_more(played: Played, capsys: Out) -> None:
    played([], [drive(1, status=m.DriveStatus.LOST)])
    lists.drives(UNASKED_DRIVES, lists.Flags())
    assert "1 drive not shown: 1 Lost on n1; --all shows every drive" in capsys.readouterr().err


def test_while_there_is_no_drive_at_all_the_step_that_makes_one_is_named(played: Played, capsys: Out) -> None:
    played([])
    lists.drives(UNASKED_DRIVES, lists.Flags())
    said = capsys.readouterr().err
    assert (typeable("kubectl directpv discover") in said, "--all" in said) == (True, False)

    lists.drives(m.ListDrives(nodes=("n9",)), lists.Flags())
    lists.drives(m.ListDrives(), lists.Flags())
    assert capsys.readouterr().err.splitlines() == ["no drives match"] * 2


def test_watching_prints_what_changed_and_what_went_and_nothing_else(
    played: Played, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "WATCH_SECONDS", 0)
    lost = drive(2, 5, status=m.DriveStatus.LOST)

    class Over(Exception):
        """No more to watch."""

    bus = played(MANY, MANY, [MANY[0], lost, MANY[2]], [MANY[0], lost], [])
    listed = bus.call

    async def call(endpoint: Endpoint[Any, Any], request: Any, **how: Any) -> Any:
        if len(bus.lists) == 1:
            raise Over
        return await listed(endpoint, request, **how)

    monkeypatch.setattr(bus, "call", call)
    with pytest.raises(Over):
        lists.drives(m.ListDrives(), lists.Flags(watch=True, headers=False))
    told = capsys.readouterr()
    assert [line.split()[1] for line in told.out.splitlines()] == ["n1", "n2", "n3", "n2"]
    assert "Lost" in told.out.splitlines()[3]
    assert f"drive {MANY[2].record.fsuuid} is gone" in told.err


def test_what_is_as_it_should_be_is_said_in_kubectls_words_and_left_alone(played: Played, capsys: Out) -> None:
    cordoned, labeled = drive(1, unschedulable=True), drive(2, labels={"directpv.min.io/tier": "hot"})
    bus = played([cordoned, labeled])

    change.set_schedulable(m.ListDrives(), unschedulable=True, dry_run=False)
    assert capsys.readouterr().err.splitlines() == ["Drive n1/sda already cordoned", "Drive n2/sda cordoned"]
    change.label_drives(m.ListDrives(), ["tier=hot", "old-"], dry_run=False)
    assert capsys.readouterr().err.splitlines() == [
        "Drive n1/sda labeled",
        "Drive n2/sda not labeled: it is so already",
    ]
    assert [each.fsuuid for each in bus.changes] == [labeled.record.fsuuid, cordoned.record.fsuuid]


async def test_nobody_is_asked_how_full_more_volumes_are_than_can_be_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refusing:
        async def call(self, *_: Any, **__: Any) -> None:
            raise AssertionError("it is asked")

    record = m.VolumeRecord(name="v1", fsuuid=str(uuid.UUID(int=1)), capacity=1)
    many = [m.VolumeInfo(record=record, node="n1")] * (listing.ASKED_AT_MOST + 1)

    assert await listing.usages(Refusing(), many) == {}  # type: ignore[arg-type]
    assert "how full 101 volumes are is not asked for" in capsys.readouterr().err
