"""What documents tell people to type is understood by the programs."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from directpv_cli.app import app_for
from directpv_cli.local.__main__ import app as local_app
from directpv_cli.reading.global_flags import hoisted
from unit.documents.commands import TOP, Line, documents, examples, parse, spoken, unknown_word

PLUGIN, LOCAL = get_command(app_for()), get_command(local_app)
EXAMPLES = [line for path in documents() for line in examples(path)]
SPOKEN = [line for path in documents() for line in spoken(path)]


def program(line: Line) -> tuple[Any, tuple[str, ...], str]:
    if line.words[0] == "directpv":
        return LOCAL, line.words[1:], "directpv"
    return PLUGIN, line.words[2:] if line.words[0] == "kubectl" else line.words[1:], "kubectl directpv"


def test_documents_have_commands_of_both_programs() -> None:
    assert {line.words[0] for line in EXAMPLES} == {"kubectl", "kubectl-directpv", "directpv"}


@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: line.where)
def test_an_example_is_understood(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drives.yaml").touch()
    group, words, name = program(line)
    parse(group, tuple(hoisted(list(words))) if group is PLUGIN else words, name)


@pytest.mark.parametrize("line", SPOKEN, ids=lambda line: line.where)
def test_a_verb_that_a_text_names_is_there(line: Line) -> None:
    assert unknown_word(*program(line)) == ""


def test_every_page_is_found_from_the_first() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in (TOP / "docs").rglob("*.md")
        for target in _targets(page.read_text())
    }
    pages = {path for path in (TOP / "docs").rglob("*.md") if "decisions" not in path.parts}
    assert sorted(str(path.relative_to(TOP)) for path in pages - linked - {TOP / "docs/index.md"}) == []


def _targets(text: str) -> list[str]:
    return [part.split(")")[0] for part in text.split("](")[1:]]
