"""What a verb says is heard by who listens in its context, typed; otherwise it is printed as ever."""

import threading
from collections.abc import Sequence
from contextvars import copy_context

import pytest
import typer

import directpv_common.protocol.messages as m
from directpv_cli.showing.moving import bars
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.lines import fail, say, trouble
from directpv_cli.showing.terminal.listening import heard_by, listener
from directpv_cli.showing.terminal.progress import steps


class Ear:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def said(self, text: str, *, trouble: bool) -> None:
        self.heard.append((text, trouble))

    def step(self, title: str, name: str, state: str) -> None:
        self.heard.append((title, name, state))

    def moving(self, status: m.MoveStatus) -> None:
        self.heard.append(status)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.heard.append((list(titles), [list(row) for row in rows]))


def speak() -> None:
    say("a [green]good[/green] \\[word]")
    trouble("it failed [really]")
    with steps("Checking", ["a", "b"]) as shown:
        shown.done("a")
        shown.failed("b")
    with bars(["v"]) as moving:
        moving.update(m.MoveStatus(name="v", done=1))
        moving.end("v", good=True)
    tables.show(("A", "B"), [["1", ""]])


def test_every_word_is_heard_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ear = Ear()
    with heard_by(ear):
        speak()
    assert ear.heard == [
        ("a good [word]", False),
        ("it failed [really]", True),
        ("Checking", "a", "running"),
        ("Checking", "b", "running"),
        ("Checking", "a", "done"),
        ("Checking", "b", "failed"),
        m.MoveStatus(name="v", done=1),
        ("Moving", "v", "done"),
        (["A", "B"], [["1", ""]]),
    ]
    assert capsys.readouterr() == ("", "")
    assert listener() is None


def test_a_verb_that_fails_says_why_and_ends_with_its_status() -> None:
    ear = Ear()
    with heard_by(ear), pytest.raises(typer.Exit) as end:
        fail("no drives match")
    assert (end.value.exit_code, ear.heard) == (1, [("no drives match", True)])


def test_two_verbs_in_two_threads_are_heard_apart(capsys: pytest.CaptureFixture[str]) -> None:
    ears = [Ear(), Ear()]
    both = threading.Barrier(2, timeout=10)

    def verb(ear: Ear, word: str) -> None:
        with heard_by(ear):
            both.wait()
            say(word)

    threads = [
        threading.Thread(target=copy_context().run, args=(verb, ear, word))
        for ear, word in zip(ears, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [ear.heard for ear in ears] == [[("a", False)], [("b", False)]]
    assert capsys.readouterr().err == ""
