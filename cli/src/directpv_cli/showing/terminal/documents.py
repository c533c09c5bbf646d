"""What ``--output`` prints for programs, on standard output: JSON, YAML, names, or what a template shows."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from directpv_cli.showing.terminal.lines import checked

Document = Callable[[Any], None]
"""Prints one document."""


def print_json(document: Any) -> None:
    """Print ``document`` with an indent of two."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_yaml(document: Any) -> None:
    """Print ``document`` as YAML, followed by the line ``---``."""
    import yaml

    plain = orjson.loads(orjson.dumps(document))
    sys.stdout.write(yaml.safe_dump(plain, sort_keys=False) + "---\n")


def object_list(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return ``items`` as Kubernetes' ``List``."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}


def print_names(document: Any) -> None:
    """Print each object as kubectl names it: kind, group and name."""
    for item in document["items"]:
        kind, group = item["kind"].lower(), item["apiVersion"].partition("/")[0]
        sys.stdout.write(f"{kind}.{group}/{item['metadata']['name']}\n")


def output_format(output: str, *, wide: bool = True, names: bool = False) -> Document | None:
    """Return what prints a document, or None for a table; a wrong format ends the program.

    Args:
        output: What ``-o`` gave.
        wide: Whether there is a wide table.
        names: Whether what is printed is a list of objects with names.
    """
    printers: dict[str, Document | None] = {
        "": None,
        "json": print_json,
        "yaml": print_yaml,
        **({"wide": None} if wide else {}),
        **({"name": print_names} if names else {}),
    }

    def parse() -> Document | None:
        form, equals, text = output.partition("=")
        if form == "jsonpath" and equals:
            from directpv_cli.reading import jsonpath

            render = jsonpath.template(text)
            return lambda document: _print_text(render(orjson.loads(orjson.dumps(document))))
        if output not in printers:
            known = ", ".join([*filter(None, printers), "jsonpath=TEMPLATE"])
            raise ValueError(f"--output: {output!r} is unknown; use one of {known}")
        return printers[output]

    return checked(parse)


def _print_text(text: str) -> None:
    sys.stdout.write(text)
