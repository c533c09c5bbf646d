"""Tables on short lines: nothing is cut, what matters stands side by side, messages below; pipes get everything."""

import io
import re
import uuid
from collections.abc import Iterator

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing import discover
from directpv_cli.commands.looking import lists
from directpv_cli.reading.selection import Pods
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.text import width, wrapped

MESSAGE = (
    "mkfs.xfs failed: /dev/sdb appears to contain an existing filesystem [ext4]; select it by hand in drives.yaml "
    "if its data may be lost, and run init again"
)
CLAIM = "data-minio-tenant-pool-0"


class Terminal(io.StringIO):
    """A terminal, or a pipe, that takes UTF-8 or only ASCII."""

    def __init__(self, *, tty: bool = True, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    def isatty(self) -> bool:
        return self._tty

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_COLOR", "1")
    yield
    settings.plain = False


def drive(number: int, status: m.DriveStatus = m.DriveStatus.READY, **facts: object) -> m.DriveInfo:
    record = m.DriveRecord(
        fsuuid=str(uuid.UUID(int=number)),
        node=f"worker-{number:02}",
        device="nvme0n1",
        make="Samsung SSD 980 [red]PRO[/red] with Heatsink 2TB",
        total=2 << 40,
        overhead=0,
        status=status,
        created="2026-11-20T00:00:00Z",
        **facts,  # type: ignore[arg-type]
    )
    return m.DriveInfo(record=record, free=1 << 40, allocated=1 << 40, volumes=number)


def volume(number: int) -> m.VolumeInfo:
    record = m.VolumeRecord(
        name=f"pvc-{uuid.UUID(int=number)}",
        fsuuid=str(uuid.UUID(int=number)),
        capacity=1 << 30,
        labels={"directpv.min.io/tenant": "blue", "directpv.min.io/application": "object-store"},
        pvc_name=CLAIM,
        pvc_namespace="tenants",
        pod_name="minio-tenant-pool-0",
        pod_namespace="tenants",
    )
    return m.VolumeInfo(record=record, node="worker-01", device="nvme0n1", status=m.VolumeStatus.BOUND)


def shown(show: object, columns: int, monkeypatch: pytest.MonkeyPatch, **terminal: object) -> str:
    """Return what ``show()`` prints on lines of so many columns."""
    stream = Terminal(**terminal)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        patch.setenv("COLUMNS", str(columns))
        show()  # type: ignore[operator]
    return stream.getvalue()


def joined(text: str) -> str:
    """Return all words in order, without frames and line ends."""
    return " ".join(re.sub("[│|]", " ", text).split())


def list_drives(monkeypatch: pytest.MonkeyPatch, found: list[m.DriveInfo], **how: object) -> None:
    monkeypatch.setattr(lists, "run", lambda work: (found, []))
    lists.drives(m.ListDrives(), lists.Flags(**how))  # type: ignore[arg-type]


def list_volumes(monkeypatch: pytest.MonkeyPatch, *found: m.VolumeInfo) -> None:
    monkeypatch.setattr(lists, "run", lambda work: (found or [volume(1), volume(2)], []))
    lists.volumes(m.ListVolumes(), Pods.of(None, None), lists.Flags(output="wide", show_labels=True, pvc=True))


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_drives_show_whole_ids_nodes_names_and_states_on_lines_that_fit(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [drive(1), drive(2, m.DriveStatus.ERROR, unschedulable=True, labels={"directpv.min.io/suspend": "true"})]
    text = shown(lambda: list_drives(monkeypatch, found), columns, monkeypatch)

    assert max(map(width, text.splitlines())) <= columns
    for each in found:
        assert {each.record.fsuuid, each.record.node, "nvme0n1"} <= set(text.split())
    assert {"Ready", "Error,SchedulingDisabled,Suspended"} <= set(text.split())
    assert ("MAKE" in text) is (columns == 200)


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_wide_volumes_with_claims_and_labels_lose_nothing(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(lambda: list_volumes(monkeypatch), columns, monkeypatch)

    assert max(map(width, text.splitlines())) <= columns
    for word in (volume(1).record.name, volume(1).record.fsuuid, "worker-01", "minio-tenant-pool-0", "Bounded"):
        assert word in joined(text)
    assert "STATUS" in text.splitlines()[1], text
    for word in (f"tenants/{CLAIM}", "application=object-store,tenant=blue"):
        assert word in joined(text).replace(", ", ","), text


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("status", [m.DriveStatus.READY, m.DriveStatus.REPAIRING])
def test_a_state_with_all_its_suffixes_stands_on_one_line_at_every_width(
    columns: int, status: m.DriveStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [drive(1, status, unschedulable=True, labels={"directpv.min.io/suspend": "true"})]
    text = shown(lambda: list_drives(monkeypatch, found, show_labels=True), columns, monkeypatch)

    assert f"{status},SchedulingDisabled,Suspended" in text.split(), text
    assert max(map(width, text.splitlines())) <= columns


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_a_failure_of_init_is_said_in_whole_whatever_the_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        ("worker-1", m.FormatResult(name="sda", drive=drive(1).record)),
        ("worker-1", m.FormatResult(name="sdb", error=MESSAGE)),
    ]
    text = shown(lambda: discover.show_results(results), columns, monkeypatch)

    assert max(map(width, text.splitlines())) <= columns
    assert drive(1).record.fsuuid in text
    assert [word for word in MESSAGE.split() if word not in text] == []


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_why_a_device_is_refused_is_said_in_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "Mounted at /var/lib/containers/storage by another program; its partitions are used, too"
    device = m.Device(
        name="sda", id="8:0$" + "x" * 44, major_minor="8:0", size=1 << 40, make="[bold]ACME[/bold]", denied=(reason,)
    )
    text = shown(lambda: discover.show_devices([("worker-1", device)]), columns, monkeypatch)

    assert max(map(width, text.splitlines())) <= columns
    assert [word for word in reason.split() if word not in text] == []
    assert {"worker-1", "sda", "NO"} <= set(text.split())


def test_a_pipe_gets_every_column_on_one_line_per_row_without_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(lambda: list_volumes(monkeypatch), 40, monkeypatch, tty=False)

    header, *rows = text.splitlines()
    assert re.split(r" {2,}", header) == [
        *("VOLUME", "CAPACITY", "NODE", "DRIVE", "PODNAME", "PODNAMESPACE", "STATUS", "AGE"),
        *("DRIVE ID", "PVC", "LABELS"),
    ]
    assert [len(re.split(r" {2,}", row)) for row in rows] == [11, 11]


def test_plain_is_on_a_terminal_what_a_pipe_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = shown(lambda: list_drives(monkeypatch, [drive(1)]), 80, monkeypatch, tty=False)
    settings.plain = True

    assert shown(lambda: list_drives(monkeypatch, [drive(1)]), 80, monkeypatch) == piped


def test_makes_and_messages_are_shown_as_they_are_and_command_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["[red]PRO[/red]", "\x1b]0;owned\x07 \x1b[2J"], ["two\nlines\tof it", ":warning:"]]
    text = shown(lambda: tables.show(["MAKE", "MESSAGE"], rows), 80, monkeypatch)

    assert "[red]PRO[/red]" in text
    assert "\\x1b]0;owned\\x07 \\x1b[2J" in text
    assert "two lines of it" in text
    assert ":warning:" in text
    assert "\x1b" not in text


def test_a_terminal_without_unicode_gets_frames_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(lambda: list_drives(monkeypatch, [drive(1)]), 80, monkeypatch, encoding="ascii")

    assert text.isascii()
    assert text.startswith("+--")


@pytest.mark.parametrize(
    ("status", "colour"), [("Ready", "32"), ("Lost", "31"), ("Repairing", "33"), ("Ready,SchedulingDisabled", "33")]
)
def test_a_state_has_its_colour_on_a_terminal(status: str, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    columns = ["ID", Column("STATUS", state=True)]

    assert f"\x1b[{colour}m{status}\x1b[0m" in shown(lambda: tables.show(columns, [["a", status]]), 80, monkeypatch)
    assert "\x1b" not in shown(lambda: tables.show(columns, [["a", status]]), 80, monkeypatch, tty=False)


@pytest.mark.parametrize("text", ["", "a", "a b", "a" * 50, "one, two,three", "名前" * 20, "x" * 9 + " " + "y" * 11])
@pytest.mark.parametrize("columns", [2, 7, 10])
def test_wrapping_loses_no_letter_and_keeps_to_the_width(text: str, columns: int) -> None:
    lines = wrapped(text, columns)

    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(map(width, lines)) <= columns
