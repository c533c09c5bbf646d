"""``-o jsonpath=TEMPLATE`` and ``--sort-by``: the part of kubectl's JSONPath that people use. Pure.

Source: Kubernetes, "JSONPath Support": fields, ``['key']``, indices, slices, ``*``, filters with one comparison,
``range`` … ``end``, texts in quotes; no recursive descent.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

_STEP: Final = re.compile(
    r"""\.(?P<field>[A-Za-z_*](?:[\w/-]|\\.)*) | \[(?P<quote>['"])(?P<key>.*?)(?P=quote)\] | \[(?P<index>-?\d+)\]
      | \[(?P<all>\*)\] | \[(?P<slice>-?\d*:-?\d*(?::-?\d*)?)\] | \[\?\((?P<filter>.*?)\)\]""",
    re.VERBOSE,
)
_FILTER: Final = re.compile(r"\s*@(?P<path>[^=!<>\s]*)\s*(?:(?P<how>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*\Z")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_PIECE: Final = re.compile(r"""\{((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^{}"'])*)\}""")
Find = Callable[[Any], Iterator[Any]]


class _Part(NamedTuple):
    kind: str
    """``text``, ``find``, ``range`` or ``end``."""
    text: str = ""
    find: Find | None = None


def template(text: str) -> Callable[[Any], str]:
    """Return what renders a document; without braces, ``text`` is one path.

    >>> template("{range .items[*]}{.name}={.size}{'\\\\n'}{end}")({"items": [{"name": "a", "size": 1}]})
    'a=1\\n'

    Raises:
        ValueError: Malformed; says where, and shows a form that works.
    """
    parts = list(_parts(text if "{" in text else f"{{{text}}}"))
    _check_ranges(parts)
    return lambda document: "".join(_rendered(parts, document))


def _parts(text: str) -> Iterator[_Part]:
    end = 0
    for found in _PIECE.finditer(text):
        yield _Part("text", _literal(text[end : found.start()]))
        yield _part(found[1].strip())
        end = found.end()
    yield _Part("text", _literal(text[end:]))


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"jsonpath: a brace has no partner in {text!r}; write {{.items[*].metadata.name}}")
    return text


def _part(inside: str) -> _Part:
    word, _, rest = inside.partition(" ")
    if inside[:1] in ("'", '"'):
        return _Part("text", _unquoted(inside))
    if word == "end":
        return _Part("end")
    if word == "range":
        return _Part("range", find=path(rest.strip()))
    return _Part("find", find=path(inside))


def _unquoted(text: str) -> str:
    body = text[1:-1] if text[-1] == text[0] and len(text) > 1 else text[1:]
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), body)


def path(text: str) -> Find:
    """Return what finds the values of one path, for instance ``.status.freeCapacity``.

    Raises:
        ValueError: Malformed.
    """
    rest = text.removeprefix("$").removeprefix("@")
    rest = rest if rest[:1] in (".", "[", "") else f".{rest}"
    steps: list[Find] = []
    while rest and rest != ".":
        found = _STEP.match(rest)
        if found is None:
            raise ValueError(f"jsonpath: {rest!r} is not understood; write for instance .items[*].metadata.name")
        steps.append(_step(found))
        rest = rest[found.end() :]
    return lambda document: _walk(steps, document)


def _walk(steps: Sequence[Find], value: Any) -> Iterator[Any]:
    if not steps:
        yield value
        return
    for each in steps[0](value):
        yield from _walk(steps[1:], each)


def _step(found: re.Match[str]) -> Find:
    if found["all"] or found["field"] == "*":
        return lambda value: iter(value.values() if isinstance(value, Mapping) else value if _many(value) else ())
    if found["field"] is not None or found["key"] is not None:
        key = found["key"] if found["key"] is not None else re.sub(r"\\(.)", r"\1", found["field"])
        return lambda value: iter((value[key],) if isinstance(value, Mapping) and key in value else ())
    if found["index"] is not None:
        index = int(found["index"])
        return lambda value: iter((value[index],) if _many(value) and -len(value) <= index < len(value) else ())
    if found["slice"] is not None:
        bounds = slice(*(int(part) if part else None for part in found["slice"].split(":")))
        return lambda value: iter(value[bounds] if _many(value) else ())
    return _filter(found["filter"])


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _filter(text: str) -> Find:
    found = _FILTER.match(text)
    if found is None:
        raise ValueError(f'jsonpath: the filter {text!r} is not understood; write for instance ?(@.status=="Ready")')
    inner = path(found["path"])
    if found["how"] is None:
        return lambda value: (each for each in _items(value) if any(True for _ in inner(each)))
    compare, wanted = _COMPARE[found["how"]], _value(found["value"])

    def holds(each: Any) -> bool:
        try:
            return any(compare(had, wanted) for had in inner(each))
        except TypeError:
            return False

    return lambda value: (each for each in _items(value) if holds(each))


def _items(value: Any) -> Sequence[Any]:
    return value if _many(value) else ()


def _value(text: str) -> Any:
    if text[:1] in ("'", '"'):
        return _unquoted(text)
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"jsonpath: {text!r} is neither a text in quotes nor a number") from None


def _check_ranges(parts: Sequence[_Part]) -> None:
    depth = 0
    for part in parts:
        depth += (part.kind == "range") - (part.kind == "end")
        if depth < 0:
            raise ValueError("jsonpath: {end} without {range ...}")
    if depth:
        raise ValueError("jsonpath: {range ...} without {end}")


def _rendered(parts: Sequence[_Part], document: Any) -> Iterator[str]:
    at = 0
    while at < len(parts):
        part = parts[at]
        if part.kind == "text":
            yield part.text
        elif part.find is not None and part.kind == "find":
            yield " ".join(map(_shown, part.find(document)))
        elif part.find is not None:
            end = _end_of(parts, at)
            for each in part.find(document):
                yield from _rendered(parts[at + 1 : end], each)
            at = end
        at += 1


def _end_of(parts: Sequence[_Part], begin: int) -> int:
    depth = 0
    for at in range(begin, len(parts)):
        depth += (parts[at].kind == "range") - (parts[at].kind == "end")
        if not depth:
            return at
    return len(parts)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
