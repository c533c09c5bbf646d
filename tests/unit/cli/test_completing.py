"""What may follow is completed as kubectl completes it: verbs, nouns, flags, and values that are a few words."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from directpv_cli.app import app
from directpv_cli.verbs.completing import SCRIPTS, completions


def completed(*words: str) -> list[str]:
    return [line.partition("\t")[0] for line in completions(get_command(app), words)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("li",), ["list", ":4"]),
        (("list", ""), ["drives", "volumes", ":4"]),
        (("list", "dri"), ["drives", ":4"]),
        (("--plain", "list", "vol"), ["volumes", ":4"]),
        (("--nats-url", "list", "un"), ["uninstall", "uncordon", ":4"]),
        (("list", "drives", "--sort"), ["--sort-by", ":4"]),
        (("list", "drives", "--kubec"), ["--kubeconfig", ":4"]),
        (("list", "drives", "--status", "lo"), ["Lost", ":4"]),
        (("list", "drives", "-o", "j"), ["json", "jsonpath=", ":4"]),
        (("init", ""), [":0"]),
        (("--kubeconfig", ""), [":0"]),
        (("nonsense", ""), None),
    ],
)
def test_what_may_follow_is_found_with_a_directive_at_the_end(words: tuple[str, ...], found: list[str] | None) -> None:
    if found is None:
        assert completed(*words)[-1] == ":4"
    else:
        assert completed(*words) == found


def test_each_candidate_is_a_line_with_what_it_is() -> None:
    lines = list(completions(get_command(app), [""]))
    assert all(re.fullmatch(r"[a-z-]+\t\S.*", line) for line in lines[:-1])


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-directpv"
    plugin.write_text('#!/bin/sh\nprintf "drives\\tList drives.\\nvolumes\\n:4\\n"\n')
    plugin.chmod(0o755)
    script = (
        f'{SCRIPTS["bash"]}\nCOMP_WORDS=({plugin} list ""); COMP_CWORD=2; _kubectl_directpv; echo "${{COMPREPLY[*]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "drives volumes\n"
