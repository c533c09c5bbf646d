"""Enumerations that a later version may have added to: a word that this version does not know stays as it is."""

import re
from enum import StrEnum
from typing import Final, Self

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}\Z")
"""What any version of ours calls a state or a kind; fits into a label and a condition of Kubernetes."""


class OpenStrEnum(StrEnum):
    """Base of enumerations in messages and records; a word that is not a member equals itself, and no member.

    Compare values that may be unknown with ``==``: two equal ones need not be the same object. Iteration gives the
    members alone. Source: Python's ``enum``, ``_missing_``, which msgspec asks as well.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Return a value for an unknown word; what is no such word is refused."""
        if not isinstance(value, str) or not _WORD.match(value):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word
