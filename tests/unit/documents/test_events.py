"""The reference of events has every kind that a service tells of."""

import ast
from collections.abc import Iterator
from pathlib import Path

from directpv_common.protocol.kinds import KINDS
from unit.documents.commands import TOP

TELLING = {"emit", "tell"}
"""Methods that take noun and kind first."""
NOUNS = {kind.partition(".")[0] for kind in KINDS}


def told() -> Iterator[tuple[str, str]]:
    """Yield each kind that stands in the code as words, with its file; both branches of a condition."""
    for path in sorted((TOP / "services").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in TELLING:
                yield from _kinds(call, path)


def _kinds(call: ast.Call, path: Path) -> Iterator[tuple[str, str]]:
    if len(call.args) < 3 or not isinstance(call.args[0], ast.Constant) or call.args[0].value not in NOUNS:
        return
    kind = call.args[1]
    for word in (kind.body, kind.orelse) if isinstance(kind, ast.IfExp) else (kind,):
        if isinstance(word, ast.Constant):
            yield f"{call.args[0].value}.{word.value}", path.name


def test_every_kind_that_is_told_stands_in_the_table() -> None:
    found = list(told())
    assert len(found) > 40
    assert [each for each in found if each[0] not in KINDS] == [], "add them to directpv_common/protocol/kinds.py"
