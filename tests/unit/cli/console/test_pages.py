"""Pages made without a bus: of an installation that has nothing yet, and answers to what is asked too soon."""

import asyncio
import html
import re
import time
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from directpv_cli.console.core.picture import Picture
from directpv_cli.console.serving.server import application, new_site
from unit.cli.console.making import node, picture

ROOT = "/x/"


def asked(path: str, shown: Picture, method: str = "GET") -> tuple[int, str]:
    """Ask the application for a page as its server does; return status and text."""

    async def ask() -> tuple[int, str]:
        site = new_site(ROOT)
        sent: list[MutableMapping[str, Any]] = []
        site.keeper.picture = replace(shown, began=time.monotonic())

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b""}

        path_, _, query = (ROOT + path).partition("?")
        scope = {"type": "http", "method": method, "path": path_, "query_string": query.encode(), "headers": []}
        await application(site)(scope, receive, send)
        text = b"".join(each.get("body", b"") for each in sent[1:]).decode()
        return sent[0]["status"], html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text)))

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "No node was heard. Is DirectPV installed, and do its pods run?"),
        ("nodes", "No node was heard."),
        ("nodes?q=x", "No node was heard."),
        ("drives", "There are no drives yet: discover devices, and initialise them."),
        ("volumes", "There are no volumes yet."),
        ("events", "nothing"),
        ("discover", "Nobody looked yet"),
        ("jobs", "Nothing yet."),
    ],
)
def test_an_installation_that_has_nothing_yet_is_told_what_comes_next(path: str, says: str) -> None:
    nothing = picture()
    nothing = Picture(nothing.heard._replace(nodes=(), drives=()), (), number=1)
    status, text = asked(path, nothing)
    assert status == 200
    assert says in text


def test_what_a_filter_does_not_find_is_not_said_to_be_missing() -> None:
    assert "No drive matches." in asked("drives?q=nothing", picture())[1]
    assert "No volume matches." in asked("volumes?q=nothing", picture())[1]
    assert "No node matches." in asked("nodes?q=nothing", picture())[1]


@pytest.mark.parametrize("path", ["plans", "plans?action=remove&target=x"])
def test_a_button_that_is_pressed_before_the_pages_script_runs_does_nothing_and_says_so(path: str) -> None:
    status, text = asked(path, picture())
    assert status == 405
    assert "Nothing was done" in text
    assert "Go back" in text


def test_the_title_says_what_is_wrong_for_those_who_look_at_another_tab() -> None:
    well, unwell = asked("nodes", picture())[1], asked("nodes", picture(nodes=(node(online=False),)))[1]
    assert well.strip().startswith("Nodes · DirectPV")
    assert unwell.strip().startswith("1 trouble · Nodes · DirectPV")
