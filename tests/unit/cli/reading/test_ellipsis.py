"""Ranges in arguments."""

import pytest

from directpv_cli.reading.ellipsis import expand, expand_all


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        pytest.param("sda", ["sda"], id="a plain name"),
        pytest.param("n{1...3}", ["n1", "n2", "n3"], id="numbers"),
        pytest.param("sd{y...ab}", ["sdy", "sdz", "sdaa", "sdab"], id="letters go on after z"),
        pytest.param("n{3...1}", ["n1", "n2", "n3"], id="reversed"),
        pytest.param("{a...b}{1...2}x", ["a1x", "a2x", "b1x", "b2x"], id="the left one changes slowest"),
        pytest.param("{7...7}", ["7"], id="one"),
    ],
)
def test_a_pattern_stands_for(pattern, words):
    assert expand(pattern) == words


@pytest.mark.parametrize(
    "pattern",
    ["", "{1..2}", "{1....2}", "{a...2}", "{...2}", "{1...}", "{", "}", "{1...2", "1...2}", "{{1...2}}", "{A...B}",
     "{1...2...3}", "{}", "{0...999999999}"],
)  # fmt: skip
def test_a_malformed_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match=r"\S"):
        expand(pattern)


def test_lists_are_split_at_commas_and_repeats_dropped():
    assert expand_all(["n1,n{1...2}", "n2"]) == ("n1", "n2")
