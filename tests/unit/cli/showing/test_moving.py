"""How far moves are, for who reads a pipe; and commands that can be typed where they are read."""

from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.showing import moving
from directpv_cli.showing.terminal import lines, pages, tables, typed

GIB = 1024**3


def status(state: m.MoveState, done: int = 0, rate: int = 0) -> m.MoveStatus:
    return m.MoveStatus(name="pvc-1", state=state, done=done * GIB, total=4 * GIB, rate=rate)


def test_a_pipe_gets_a_line_when_the_state_changes_and_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter((0.0, 1.0, 30.0, 31.0, 32.0, 33.0))
    shown = moving._Lines(lambda: next(times))
    for state, done in (
        (m.MoveState.COPYING, 0),
        (m.MoveState.COPYING, 1),
        (m.MoveState.COPYING, 2),
        (m.MoveState.WAITING, 4),
        (m.MoveState.LAST_PASS, 0),
        (m.MoveState.LAST_PASS, 1),
    ):
        shown.update(status(state, done, rate=GIB // 8))
    assert capsys.readouterr().err.splitlines() == [
        "Volume pvc-1: Copying, 0 B of 4 GiB, 128 MiB/s, 32s left",
        "Volume pvc-1: Copying, 2 GiB of 4 GiB, 128 MiB/s, 16s left",
        "Volume pvc-1: LastPass, 0 B of 4 GiB, 128 MiB/s, 32s left",
    ]


@pytest.mark.parametrize(("there", "wanted"), [(True, "kubectl directpv status"), (False, "kubectl-directpv status")])
def test_commands_that_are_told_can_be_typed_where_there_is_no_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool, wanted: str
) -> None:
    if there:
        (tmp_path / "kubectl").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    typed._has_kubectl.cache_clear()
    try:
        lines.say("look: kubectl directpv status")
        lines.trouble("run kubectl directpv status")
        pages.show([("Advice", "kubectl directpv status")])
        tables.show(["ADVICE"], [["kubectl directpv status"]], headers=False)
    finally:
        typed._has_kubectl.cache_clear()
    said = capsys.readouterr()
    assert said.err.splitlines() == [f"look: {wanted}", f"ERROR run {wanted}"]
    assert said.out.splitlines() == [f"Advice:  {wanted}", wanted]
