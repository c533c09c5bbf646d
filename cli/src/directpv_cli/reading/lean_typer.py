"""Typer without pydantic for the types that our flags have: texts, numbers, yes and no, paths, lists of texts.

Typer 0.29 loads pydantic to turn each word into such a value, which takes longer than all else a verb does before it
asks anybody. To be imported before flags are read; a Typer that is built otherwise is left as it is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import typer


def _is_set(limit: Any) -> bool:
    """Tell whether a flag asks for something besides; a least value of 0 does."""
    return limit is not None and limit is not False


def _list(value: Any) -> list[str]:
    return [str(each) for each in value]


_READ: Final[dict[Any, Callable[[Any], Any]]] = {str: str, int: int, float: float, Path: Path, list[str]: _list}
_LIMITS: Final = ("min", "max", "exists", "resolve_path", "formats", "click_type")
"""What a flag may ask for besides, and we never do but for some: those are Typer's business."""


def install() -> None:
    """Have Typer read our types without pydantic."""
    try:
        from typer import core
        from typer._coercion import RuntimeParam

        usual = core.build_runtime_param  # type: ignore[attr-defined]
    except (ImportError, AttributeError):
        return

    class Quick(RuntimeParam):
        """Reads one of our types."""

        def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
            parser = self.parameter_info.parser
            if parser is not None:
                return parser(value)
            if self.annotation is bool:
                return value
            try:
                return _READ[self.annotation](value)
            except (TypeError, ValueError) as error:
                raise typer.BadParameter(f"{value!r} is not a valid {self.annotation.__name__}") from error

    def build(descriptor: Any) -> Any:
        info, kind = descriptor.parameter_info, descriptor.annotation
        quick = info.parser is not None or kind in _READ or (kind is bool and not getattr(info, "envvar", None))
        if not quick or any(_is_set(getattr(info, name, None)) for name in _LIMITS):
            return usual(descriptor)
        return Quick(annotation=kind, parameter_info=info)

    core.build_runtime_param = build  # type: ignore[attr-defined]


install()
