"""kubectl's JSONPath, as people use it in scripts."""

import pytest

from directpv_cli.reading.global_flags import hoisted
from directpv_cli.reading.jsonpath import path, template

LIST = {
    "items": [
        {"metadata": {"name": "a", "labels": {"directpv.min.io/node": "n1"}}, "status": {"free": 5, "status": "Ready"}},
        {"metadata": {"name": "b", "labels": {"directpv.min.io/node": "n2"}}, "status": {"free": 7, "status": "Lost"}},
    ]
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{.items[*].metadata.name}", "a b"),
        (".items[*].metadata.name", "a b"),
        ("{$.items[0].status.free}", "5"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ("{.items[*].metadata.labels.directpv\\.min\\.io/node}", "n1 n2"),
        ("{.items[*].metadata.labels['directpv.min.io/node']}", "n1 n2"),
        ('{.items[?(@.status.status=="Ready")].metadata.name}', "a"),
        ("{.items[?(@.status.free>5)].metadata.name}", "b"),
        ("{.items[?(@.missing)].metadata.name}", ""),
        ("{range .items[*]}{.metadata.name}={.status.free}{'\\n'}{end}", "a=5\nb=7\n"),
        ('{range .items[*]}{"- "}{.metadata.name}{", "}{end}done', "- a, - b, done"),
        ("{.items[9].metadata.name}", ""),
        ("{.items[0].status}", '{"free":5,"status":"Ready"}'),
    ],
)
def test_a_template_shows_what_kubectl_would_show(text: str, shown: str) -> None:
    assert template(text)(LIST) == shown


@pytest.mark.parametrize(
    "text", ["{.items[*}", "{.a", "a}", "{range .items[*]}x", "{end}", "{.items[?(x)]}", "{..name}"]
)
def test_a_template_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="jsonpath"):
        template(text)


def test_a_path_finds_what_lists_are_sorted_by() -> None:
    assert list(path(".status.free")(LIST["items"][0])) == [5]
    assert list(path("status.none")(LIST["items"][0])) == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["list", "drives", "--plain"], ["--plain", "list", "drives"]),
        (["--plain", "list", "drives"], ["--plain", "list", "drives"]),
        (["list", "drives", "--nats-url=u", "-o", "json"], ["--nats-url=u", "list", "drives", "-o", "json"]),
        (["list", "drives", "--context", "c"], ["--context", "c", "list", "drives"]),
        (["install", "--nats-url", "u", "--context", "c"], ["--context", "c", "install", "--nats-url", "u"]),
        (["--kubeconfig", "k", "install", "--quiet"], ["--kubeconfig", "k", "install", "--quiet"]),
        (["list", "volumes", "--", "--quiet"], ["list", "volumes", "--", "--quiet"]),
        (["cordon", "--kubeconfig"], ["--kubeconfig", "cordon"]),
    ],
)
def test_flags_of_every_verb_may_stand_after_it(given: list[str], wanted: list[str]) -> None:
    assert hoisted(given) == wanted
