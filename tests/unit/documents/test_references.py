"""What documents name as proof is there."""

import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
TESTS = TOP / "tests"


@cache
def sources() -> str:
    return "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("document", ["SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_tests_that_a_document_names_exist(document: str) -> None:
    text = (TOP / document).read_text()
    paths = {path.rstrip("/") for path in re.findall(r"`(tests/[\w./-]+)", text)}
    files = set(re.findall(r"`(test_\w+\.py)`", text))
    functions = set(re.findall(r"`(test_\w+)`", text))

    assert [path for path in sorted(paths) if not (TOP / path).exists()] == []
    assert [name for name in sorted(files) if not any(TESTS.rglob(name))] == []
    assert [name for name in sorted(functions) if f"def {name}(" not in sources()] == []


def test_each_sentence_about_what_nobody_can_do_names_the_test_that_shows_it() -> None:
    unproven, proven, shows = [], 0, False
    for line in (TOP / "SECURITY.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            shows = False
        elif cells[-1] == "shown by":
            shows = True
        elif shows and set(line) - set("|- "):
            proven += 1
            if not re.search(r"`(?:tests/|test_)", cells[-1]):
                unproven.append(cells[0])
    assert proven > 30
    assert unproven == []
