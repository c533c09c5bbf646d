"""What ``--output`` prints: JSON and YAML for programs, on standard output."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from directpv_cli.showing.lines import checked


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


def output_format(output: str, *, wide: bool = True) -> Callable[..., None] | None:
    """Return what prints a document, or None for a table; a wrong format ends the program."""
    printers: dict[str, Callable[..., None] | None] = {
        "": None,
        "json": print_json,
        "yaml": print_yaml,
        **({"wide": None} if wide else {}),
    }

    def parse() -> Callable[..., None] | None:
        if output not in printers:
            raise ValueError(f"--output: {output!r} is unknown; use one of {', '.join(filter(None, printers))}")
        return printers[output]

    return checked(parse)
