"""Words that flags give: names, ids, states, labels and ages. Pure; what is wrong is a ValueError that says so."""

import re
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

from directpv_cli.reading.ellipsis import expand_all
from directpv_common.protocol import names

S = TypeVar("S", bound=StrEnum)
Words = Sequence[str] | None

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
LEAST_PREFIX: Final = 4
_ID_PREFIX: Final = re.compile(rf"[0-9a-f][0-9a-f-]{{{LEAST_PREFIX - 1},35}}\Z")
_NODE_DEVICE: Final = re.compile(r"[a-z0-9][-a-z0-9.]*/(dev/)?[A-Za-z0-9._!+-]+\Z")
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?\Z")
_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|[smhd])")
_NUMBER: Final = re.compile(r"\d{1,12}(?:\.\d{1,9})?\Z")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def expanded(words: Words) -> tuple[str, ...]:
    """Expand ranges and lists; no words give none."""
    return expand_all(words or ())


def device_names(words: Words) -> tuple[str, ...]:
    """Expand ranges and strip ``/dev/``."""
    return tuple(word.removeprefix("/dev/") for word in expanded(words))


def is_uuid(word: str) -> bool:
    """Tell whether ``word`` is a whole drive id."""
    return _UUID.match(word) is not None


def drive_words(words: Words) -> tuple[str, ...]:
    """Check how drives are called: by id, by its first letters, or as NODE/DEVICE.

    Raises:
        ValueError: It cannot be any of these; names it.
    """
    for word in words or ():
        if not (_ID_PREFIX.match(word) or _NODE_DEVICE.match(word)):
            raise ValueError(
                f"{word!r} is not a drive id: a lower-case UUID as `list drives` shows it, its first letters (at least "
                f"{LEAST_PREFIX}), or NODE/DEVICE"
            )
    return tuple(words or ())


def states(words: Words, kind: type[S], flag: str) -> tuple[S, ...]:
    """Read states in any case.

    Raises:
        ValueError: Unknown; names the flag and lists the states.
    """
    known: dict[str, S] = {state.value.lower(): state for state in kind}
    chosen = [part.strip().lower() for word in words or () for part in word.split(",")]
    for word in chosen:
        if word not in known:
            raise ValueError(f"{flag}: {word!r} is unknown; use one of {', '.join(sorted(known))}")
    return tuple(known[word] for word in chosen)


def label_pairs(words: Words) -> dict[str, str]:
    """Read ``KEY=VALUE`` items into full keys and values."""
    return dict(label_pair(part.strip()) for word in words or () for part in word.split(","))


def label_pair(word: str) -> tuple[str, str]:
    """Read one ``KEY=VALUE``; the key gets the group's prefix unless it has it.

    Raises:
        ValueError: Not a valid label; says which half is wrong.
    """
    key, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"label {word!r}: write KEY=VALUE")
    if not _LABEL_VALUE.match(value):
        raise ValueError(f"label {word!r}: the value may have letters, digits, '-', '_', '.', 63 characters at most")
    return label_key(key), value


def label_key(key: str) -> str:
    """Return the full key.

    Raises:
        ValueError: Not a label key.
    """
    name = key.removeprefix(f"{names.GROUP}/")
    if not _LABEL_NAME.match(name):
        raise ValueError(f"label key {key!r}: letters, digits, '-', '_', '.', 63 characters at most")
    return f"{names.GROUP}/{name}"


def age(text: str) -> timedelta:
    """Read how long ago something is, ``15m`` and the like.

    Raises:
        ValueError: Not a duration.
    """
    seconds = _in_seconds(text)
    if seconds is None or seconds > _SECONDS["d"] * 10_000:
        raise ValueError(f"--since: {text!r} is not an age; write for instance 30s, 15m, 2h or 7d")
    return timedelta(seconds=seconds)


def duration(text: str) -> float:
    """Read seconds, written as a number or as Go writes them: ``90``, ``2m0s``, ``1h30m``.

    Raises:
        ValueError: Not a duration; says how to write one.
    """
    seconds = float(text) if _NUMBER.match(text) else _in_seconds(text)
    if seconds is None:
        raise ValueError(f"{text!r} is not a duration; write for instance 90s, 2m0s or 1h")
    return seconds


def _in_seconds(text: str) -> float | None:
    """Return the sum of the parts of a duration; None if it is none. Source: Go, ``time.ParseDuration``; and days."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class Seconds(float):
    """A duration that is shown as Go writes it, for instance ``24h0m0s``. Source: Go, ``time.Duration.String``."""

    def __str__(self) -> str:
        """Return it in hours, minutes and seconds, without those in front that are zero."""
        whole, rest = divmod(self, 1)
        hours, minutes = divmod(int(whole) // 60, 60)
        seconds = f"{int(whole) % 60 + rest:g}s"
        if hours:
            return f"{hours}h{minutes}m{seconds}"
        return f"{minutes}m{seconds}" if minutes else seconds


AT_ONCE: Final = Seconds(0)
TWO_MINUTES: Final = Seconds(120)
TEN_MINUTES: Final = Seconds(600)
QUARTER_HOUR: Final = Seconds(900)
DAY: Final = Seconds(86_400)
WEEK: Final = Seconds(604_800)
