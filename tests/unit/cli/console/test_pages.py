"""Pages made without a bus: of an installation that has nothing yet, and answers to what is asked too soon."""

import asyncio
import html
import re
import time
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replaced

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing.discover import Found
from directpv_cli.console.core.picture import Picture
from directpv_cli.console.serving.server import application, new_site
from unit.cli.console.making import node, picture

ROOT = "/x/"


def asked(path: str, shown: Picture, method: str = "GET", found: Found | None = None) -> tuple[int, str]:
    """Ask the application for a page as its server does; return status and text."""

    async def ask() -> tuple[int, str]:
        site = new_site(ROOT)
        sent: list[MutableMapping[str, Any]] = []
        site.desk.found = found
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


def test_of_ten_thousand_devices_a_page_is_shown_those_first_that_may_be_initialised_and_others_are_found() -> None:
    devices = [
        (f"n{number // 20:03}", m.Device(name=f"sd{number % 20}", id=f"i{number}", major_minor="8:0", size=1 << 40))
        for number in range(10_000)
    ]
    used = [(node, replaced(device, denied=("Used by DirectPV",))) for node, device in devices[:-2]]
    carries = [(devices[-2][0], replaced(devices[-2][1], needs_force=True, fs_type="ext4"))]
    found = Found(used + carries + devices[-1:])
    text = asked("discover", picture(), found=found)[1]
    assert "1–50 of 10000 " in text
    assert text.count("No: Used by DirectPV") == 48
    assert text.index("n499/sd19") < text.index("n499/sd18") < text.index("n000/sd0")
    assert "1–1 of 1 that match, 10000 in all" in asked("discover?state=blank", picture(), found=found)[1]
    assert "1–20 of 20 that match" in asked("discover?q=n042/+directpv", picture(), found=found)[1]
    assert "No device matches." in asked("discover?q=nothing", picture(), found=found)[1]
