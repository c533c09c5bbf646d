"""What ``move`` says without asking anybody."""

import pytest
from typer.testing import CliRunner

import directpv_common.protocol.messages as m
from directpv_cli.app import app
from directpv_cli.showing.moving import remaining, row

BUS = "--nats-url=nats://127.0.0.1:1"


def test_without_data_nothing_moves_and_the_advice_says_what_to_do() -> None:
    result = CliRunner().invoke(app, [BUS, "move", "abcd", "ef01"])

    assert result.exit_code == 1
    assert "--with-data" in result.stderr
    assert "empty volumes" in result.stderr


@pytest.mark.parametrize("limit", ["3", "fast", "-1"])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    result = CliRunner().invoke(app, [BUS, "move", "abcd", "ef01", "--with-data", f"--limit={limit}"])

    assert result.exit_code != 0
    assert "--limit" in result.stderr


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
