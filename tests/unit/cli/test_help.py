"""What `--help` and `--version` say: statuses, durations and examples as people write and read them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from directpv_cli.app import app
from directpv_cli.local.__main__ import app as local_app
from directpv_cli.reading.statuses import STATUSES
from directpv_cli.reading.words import Seconds, duration
from directpv_cli.verbs.completing import SCRIPTS
from directpv_common import __version__


@pytest.mark.parametrize(("program", "name"), [(app, "kubectl-directpv"), (local_app, "directpv")])
def test_both_programs_tell_their_version(program: typer.Typer, name: str) -> None:
    result = CliRunner().invoke(program, ["--version"])
    assert (result.exit_code, result.output) == (0, f"{name} version {__version__}\n")


AWAY = "--nats-url=nats://127.0.0.1:1"
ENDS: dict[int, list[str]] = {
    0: ["--version", "", "list", "label", "explain"],
    1: ["--no-such-flag", "lists", "list drive5", "list drives --no-such-flag", "list drives --status", "info there"],
    255: ["list drives --status=sleepy", "init", "describe drive", "move --limit 3", "remove abcd --timeout=soon"],
}
"""What is typed, by the status that kubectl or upstream's plugin has for the like."""


def test_the_help_has_the_statuses_and_programs_end_with_them() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    told = {int(status) for status in re.findall(r"^ +(\d+) +\S.*$", said, re.MULTILINE)}
    assert told == {0, 1, 255, 130, 141} == STATUSES.keys()
    ended = {
        status: [CliRunner().invoke(app, [AWAY, *words.split()] if words else []).exit_code for words in typed]
        for status, typed in ENDS.items()
    }
    assert ended == {status: [status] * len(typed) for status, typed in ENDS.items()}


@pytest.mark.parametrize("words", [[], ["list"], ["suspend"]])
def test_who_names_no_verb_is_shown_the_verbs_which_is_no_error(words: list[str]) -> None:
    shown = CliRunner().invoke(app, words)
    assert (shown.exit_code, "Commands:" in shown.stdout, shown.stderr) == (0, True, "")


def helps(command: Any, name: str, parent: typer.Context | None = None) -> Iterator[tuple[str, str]]:
    context = typer.Context(command, info_name=name, parent=parent)
    yield context.command_path, command.get_help(context)
    for word, found in getattr(command, "commands", {}).items():
        yield from helps(found, word, context)


def test_durations_are_shown_as_they_are_written() -> None:
    shown = dict([*helps(get_command(app), "kubectl directpv"), *helps(get_command(local_app), "directpv")])
    assert [path for path, text in shown.items() if re.search(r"default:\s+\d+\.\d", text)] == []
    assert "[default: 24h0m0s]" in " ".join(shown["kubectl directpv repair"].split())
    assert "[default: 2m0s]" in " ".join(shown["kubectl directpv discover"].split())


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (1.5, "1.5s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (86_400, "24h0m0s")],
)
def test_a_duration_is_shown_as_go_writes_it_and_read_again(seconds: float, shown: str) -> None:
    assert (str(Seconds(seconds)), duration(shown)) == (shown, seconds)


def test_completion_has_an_example_for_each_shell_and_nats_context_for_the_tool_it_is_for() -> None:
    shown = dict(helps(get_command(app), "kubectl directpv"))
    for shell in SCRIPTS:
        assert f"kubectl-directpv completion {shell}" in shown["kubectl directpv completion"]
    assert "nats --context directpv-cluster sub 'directpv.v1.evt.>'" in shown["kubectl directpv nats-context"]
