"""Each verb has a manual page, which groff takes without a word, with all that its help says."""

import subprocess

import pytest

from directpv_cli.release.documents import commands
from directpv_cli.release.man import escaped, pages

PAGES = pages()


def shown(text: str) -> str:
    """Return what a reader sees, on lines of any length; groff warns of nothing."""
    command = ["groff", "-man", "-K", "utf8", "-T", "utf8", "-P", "-cbou", "-w", "all", "-b", "-rLL=2000n"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout


def test_every_command_of_the_reference_has_a_page_and_no_other() -> None:
    titles = [line.lstrip("# ") for line in commands.page().splitlines() if line.startswith(("## ", "### ", "#### "))]
    assert sorted(PAGES) == sorted(f"{title.replace(' ', '-')}.1" for title in titles)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_rendered_with_its_sections_and_without_a_warning(name: str) -> None:
    text = shown(PAGES[name])
    sections = [line for line in text.splitlines() if line.isupper() and not line.startswith(" ")]
    assert [each for each in sections if each != "DESCRIPTION" and "(1)" not in each] == [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "EXIT STATUS",
        "SEE ALSO",
    ]
    assert "--help" in text
    assert "a value cannot be understood" in text


def test_flags_texts_and_the_page_above_are_there() -> None:
    text = shown(PAGES["kubectl-directpv-move.1"])
    for words in ("kubectl-directpv-move - Move the volumes of drive FROM", "--with-data", "--limit SIZE", "VOLUME..."):
        assert words in text
    assert text.partition("SEE ALSO")[2].split()[0] == "kubectl-directpv(1)"


@pytest.mark.parametrize("words", [".TH is no macro here", "'quoted' and `so`", "a\\b \\fBnot bold\\fR ^ ~ --flag"])
def test_what_means_something_to_groff_is_shown_as_it_is(words: str) -> None:
    text = shown(f'.TH "T" 1\n.SH NAME\n{escaped(words)}\n')
    assert words in text
