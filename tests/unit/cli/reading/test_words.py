"""Words that flags give."""

from datetime import timedelta

import pytest

from directpv_cli.reading.words import age, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("2m0s", 120),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("7d", 604800),
        ("0", 0),
    ],
)
def test_a_duration_is_written_in_seconds_or_as_go_writes_it(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "2x", "-1s", "1h 2m", "1e3", "2m0", "nan", "9" * 5000, "1s" * 2 + "x"])
def test_what_is_no_duration_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="2m0s"):
        duration(text)


def test_an_age_may_have_several_parts_and_has_a_bound() -> None:
    assert age("1h30m") == timedelta(minutes=90)
    for text in ("3", "999999999d", "soon"):
        with pytest.raises(ValueError, match="--since"):
            age(text)
