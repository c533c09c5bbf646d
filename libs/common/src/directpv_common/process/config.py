"""Settings of a service: a dataclass whose fields are flags, environment variables and documentation at once."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

import msgspec

C = TypeVar("C")


def option(default: Any, help: str) -> Any:
    """Declare a setting; ``help`` says what it is, with its unit."""
    return dataclasses.field(default=default, metadata={"help": help})


def load(kind: type[C], argv: Sequence[str], env: Mapping[str, str], *, prog: str) -> C:
    """Build ``kind`` from flags (``--nats-url``), else environment (``DIRECTPV_NATS_URL``), else defaults.

    Lists are comma-separated. Exits with status 2 and a message that names the setting on bad input.
    """
    parser = argparse.ArgumentParser(prog=prog, description=kind.__doc__, allow_abbrev=False)
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    for field in fields:
        text = f"{field.metadata['help']} [{_variable(field.name)}, default: {_shown(field.default)}]"
        flag = f"--{field.name.replace('_', '-')}"
        if hints[field.name] is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(flag, default=None, metavar="VALUE", help=text)
    given = vars(parser.parse_args(argv))
    values: dict[str, Any] = {}
    for field in fields:
        value = given[field.name] if given[field.name] is not None else env.get(_variable(field.name))
        if value is None:
            continue
        try:
            values[field.name] = _convert(value, hints[field.name])
        except (msgspec.ValidationError, ValueError) as error:
            parser.error(f"--{field.name.replace('_', '-')} ({_variable(field.name)}) = {value!r}: {error}")
    try:
        return kind(**values)
    except ValueError as error:
        parser.error(str(error))


def _variable(name: str) -> str:
    return f"DIRECTPV_{name.upper()}"


def _shown(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _convert(value: Any, hint: Any) -> Any:
    if isinstance(value, str) and getattr(hint, "__origin__", None) is tuple:
        value = [item for item in (part.strip() for part in value.split(",")) if item]
    return msgspec.convert(value, hint, strict=False)
