"""What is decided about a stack before anything is asked of it."""

from pathlib import Path

import pytest
import typer

import directpv_common.protocol.messages as m
from directpv_cli.commands.looking import status
from directpv_cli.local import finding, volumes
from directpv_cli.local.stack import Options, Stack, StackError
from directpv_cli.showing.health import Heard


def stack_in(directory: Path) -> Path:
    directory.mkdir()
    Stack(options=Options(directory=str(directory))).save()
    return directory


def test_a_stack_that_was_not_named_is_found_if_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, one, two = tmp_path / "usual", stack_in(tmp_path / "one"), stack_in(tmp_path / "two")
    monkeypatch.setattr(finding, "running", lambda: [str(one)])
    assert finding.find(None, usual).directory == one
    assert finding.find(two, usual).directory == two
    with pytest.raises(StackError, match=f"directpv down --state-dir {one}"):
        finding.require(None, usual)
    assert finding.require(one, usual) == one

    monkeypatch.setattr(finding, "running", lambda: [str(one), str(two)])
    with pytest.raises(StackError, match=f"--state-dir {one}; --state-dir {two}"):
        finding.find(None, usual)
    assert finding.find(None, stack_in(usual)).directory == usual
    assert finding.require(None, usual) == usual


def test_nothing_is_hidden_by_a_mount_but_a_repeat_is_no_error(tmp_path: Path) -> None:
    record = m.VolumeRecord(name="v", fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", capacity=1)
    free = m.VolumeInfo(record=record, node="n1")
    volumes._require_empty(tmp_path, free)
    volumes._require_empty(tmp_path / "new", free)
    (tmp_path / "file").touch()
    volumes._require_empty(
        tmp_path, m.VolumeInfo(record=record, node="n1", use=m.VolumeUse(published=(str(tmp_path),)))
    )
    with pytest.raises(volumes.VolumeError, match="is not empty"):
        volumes._require_empty(tmp_path, free)
    with pytest.raises(volumes.VolumeError, match="Not a directory"):
        volumes._require_empty(tmp_path / "file", free)


def test_status_ends_with_0_only_if_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    node = m.NodeSummary(info=m.NodeInfo(name="n1", topology={}), online=True)
    monkeypatch.setattr(status, "run", lambda _: Heard("c1", "1", "bus", "kept", [node], [], []))
    status.status("")
    monkeypatch.setattr(status, "run", lambda _: Heard("", "1", "bus", "kept", [node], [], []))
    with pytest.raises(typer.Exit) as ended:
        status.status("")
    assert ended.value.exit_code == 1
