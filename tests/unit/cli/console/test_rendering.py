"""Whatever a name holds is text on the page, and turns nothing around."""

from directpv_cli.console.serving.rendering import environment

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202e\x1b[31m\n\u2066"


def test_markup_quotes_and_control_characters_of_a_name_are_shown_and_not_obeyed() -> None:
    page = environment().from_string('<p title="{{ name }}">{{ name }}</p>').render(name=HOSTILE)
    assert page.count("<") == 2
    assert page.count('"') == 2
    assert not {"\u202e", "\u2066", "\x1b", "\n"}.intersection(page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\\u202e" in page
