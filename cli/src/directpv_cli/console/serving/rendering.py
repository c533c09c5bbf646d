"""Templates to pages: everything that is not markup of ours is escaped, and shown on one line."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from directpv_cli.console.core.bays import colour_of, state_of
from directpv_cli.console.core.telling import moment
from directpv_cli.showing.ages import age_of, age_text
from directpv_cli.showing.health import name_of
from directpv_cli.showing.rows import label_text
from directpv_cli.showing.terminal.cells import state_colour
from directpv_cli.showing.terminal.text import clean
from directpv_common.protocol.reasons import reason_for
from directpv_common.protocol.units import format_bytes

TONES: Final = {"green": "good", "yellow": "fair", "red": "bad", "": "none"}
"""Classes of the style sheet by the colours of the plugin's tables."""


def _shown(value: Any) -> Any:
    """Return what is shown of a value: nothing of what a browser would obey, nor of what would turn letters around."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> Environment:
    """Return the environment of all templates."""
    made = Environment(
        loader=PackageLoader("directpv_cli.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        bytes=format_bytes,
        age=age_of,
        seconds=age_text,
        moment=moment,
        tone=lambda text: TONES.get(state_colour(str(text)), "fair"),
        tone_of=lambda colour: TONES.get(colour, "fair"),
        state=state_of,
        reason=reason_for,
        drive_tone=lambda drive: TONES.get(colour_of(drive), "fair"),
        drive_name=lambda drive: name_of(drive.record),
        labels=label_text,
    )
    return made
