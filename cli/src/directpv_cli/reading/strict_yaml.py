"""YAML read strictly: every key known and given once, every value of its type, every complaint with its line.

``yaml.safe_load`` lets the last of two equal keys win, and a misspelt one pass, which is wrong where the file says what
is destroyed. Source: YAML 1.1, "Mapping": keys are unique.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PREFIX: Final = "tag:yaml.org,2002:"
_KINDS: Final[dict[type, tuple[str, str]]] = {
    str: ("str", "a text; put it in quotes"),
    int: ("int", "a whole number"),
    bool: ("bool", "true or false"),
}


class Place:
    """One value of a file, and where it stands."""

    def __init__(self, node: Any, path: str) -> None:
        self.node = node
        self.path = path

    def wrong(self, why: str) -> ValueError:
        """Return the error that names line and key."""
        return ValueError(f"line {self.node.start_mark.line + 1}: {self.path}: {why}")

    @property
    def is_null(self) -> bool:
        """Whether nothing stands there."""
        return bool(self.node.tag == f"{_PREFIX}null")

    def mapping(self, keys: Mapping[str, type]) -> dict[str, "Place"]:
        """Return those of ``keys`` that a mapping has; scalars are of the types that ``keys`` says.

        Raises:
            ValueError: No mapping, a key twice, an unknown key, or a scalar of another type.
        """
        if self.node.tag != f"{_PREFIX}map":
            raise self.wrong(f"must be a mapping with the keys {', '.join(keys)}")
        found: dict[str, Place] = {}
        for key, node in self.node.value:
            name = key.value if isinstance(key.value, str) else "?"
            place = Place(node, _below(self.path, name))
            at_key = Place(key, place.path)
            if name not in keys:
                near = difflib.get_close_matches(name.lower(), keys, 1)
                fix = f"write {near[0]}" if near else f"use {', '.join(keys)}"
                raise at_key.wrong(f"unknown key; {fix}")
            if name in found:
                first = found[name].node.start_mark.line + 1
                raise at_key.wrong(f"given twice, first in line {first}; keep one")
            place.check(keys[name])
            found[name] = place
        return found

    def check(self, kind: type) -> None:
        """Raise unless a scalar has the type; other types are checked where they are read."""
        if kind in _KINDS and not self.is_null:
            tag, words = _KINDS[kind]
            if self.node.tag != _PREFIX + tag:
                raise self.wrong(f"must be {words}, not {_shown(self.node)}")

    def items(self) -> Iterator["Place"]:
        """Yield the items of a list; nothing at all is an empty one.

        Raises:
            ValueError: No list.
        """
        if self.is_null:
            return
        if self.node.tag != f"{_PREFIX}seq":
            raise self.wrong(f"must be a list, not {_shown(self.node)}")
        for index, node in enumerate(self.node.value):
            yield Place(node, f"{self.path}[{index}]")

    def text(self) -> str:
        """Return a scalar as it is written, quotes taken away; empty if nothing stands there."""
        return "" if self.is_null or not isinstance(self.node.value, str) else str(self.node.value)


def root_of(text: str) -> Place | None:
    """Return the value of a file of one document; None if it is empty.

    Raises:
        ValueError: No YAML.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"not YAML: {error}") from error
    return None if node is None else Place(node, "")


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(node: Any) -> str:
    return repr(node.value[:40]) if isinstance(node.value, str) else f"a {node.id}"
