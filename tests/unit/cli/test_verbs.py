"""What verbs say to arguments that they cannot understand."""

import pytest
from typer.testing import CliRunner

from directpv_cli.app import app


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["list", "drives", "--status=sleepy"], "--status"),
        (["list", "volumes", "--labels=rack"], "KEY=VALUE"),
        (["list", "volumes", "--pod-names=a{1..2}"], "range"),
        (["list", "drives", "--output=xml"], "--output"),
        (["cordon"], "--all"),
        (["uncordon", "sda"], "sda"),
        (["label", "drives", "tier=hot"], "--all"),
        (["label", "drives", "n1/sda"], "KEY=VALUE"),
        (["label", "drives", "tier=hot", "sda"], "'sda' is not a drive id"),
        (["label", "volumes", "pvc-1"], "KEY=VALUE"),
        (["label", "drives", "directpv.min.io/node=n1", "--all"], "cannot be changed"),
        (["label", "volumes", "tier=hot"], "--all"),
        (["label", "volumes", "directpv.min.io/node=n1", "--all"], "cannot be changed"),
        (["suspend", "drives", "--dangerous"], "--drives"),
        (["suspend", "volumes", "--dangerous"], "--pod-names"),
        (["resume", "drives"], "--drives"),
        (["resume", "volumes", "--nodes=n{"], "brace"),
        (["repair"], "at least one drive id"),
        (["repair", "sda"], "'sda' is not a drive id"),
        (["move", "abcd", "--with-data"], "two drives"),
        (["move", "abcd", "abcd", "--with-data"], "abcd is both drives"),
        (["move", "sd", "abcd", "--with-data"], "'sd' is not a drive id"),
        (["move", "--cancel"], "at least one volume"),
        (["evacuate", "x"], "'x' is not a drive id"),
        (["events", "--since=3"], "--since"),
        (["discover", "--nodes="], "empty"),
        (["init", "/nonexistent"], "/nonexistent"),
    ],
)
def test_bad_arguments_end_with_255_and_say_what_is_wrong(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["--nats-url=nats://127.0.0.1:1", *arguments])
    assert result.exit_code == 255
    assert named in result.stderr
