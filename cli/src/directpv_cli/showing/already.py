"""What verbs say of what is as it was asked for already: no error, as with kubectl. Pure."""

from collections.abc import Mapping
from typing import Final

ALREADY: Final[Mapping[str, str]] = {
    "cordoned": "already cordoned",
    "uncordoned": "already uncordoned",
    "labeled": "not labeled: it is so already",
    "suspended": "already suspended",
    "resumed": "not suspended",
    "cancelled": "is not being moved",
}
"""By what is said where something was changed; ``docs/day-2/drives.md`` says what repeats of all verbs mean."""
