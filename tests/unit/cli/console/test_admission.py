"""Who may come in to the console, decided from what a request says."""

import pytest

from directpv_cli.console.core.admission import COOKIE, Asked, cookies, of_host, of_origin, of_session

OWN = ["127.0.0.1:1234"]
Headers = list[tuple[str, str]]


def asked(*headers: tuple[str, str], method: str = "GET", streams: bool = False) -> Asked:
    return Asked(method, "/x/", headers, streams)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("host", "127.0.0.1:1234")], None),
        ([("host", "localhost:1234")], 421),
        ([("host", "127.0.0.1")], 421),
        ([("host", "127.0.0.1:1234"), ("host", "evil.example")], 421),
        ([], 421),
    ],
)
def test_the_host_must_be_the_address_that_is_served(headers: Headers, status: int | None) -> None:
    refused = of_host(asked(*headers), OWN)
    assert (refused.status if refused else None) == status


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("headers", "reads", "changes"),
    [
        ([], True, False),
        ([("sec-fetch-site", "none")], True, False),
        ([("sec-fetch-site", "same-origin")], True, True),
        ([("origin", "http://127.0.0.1:1234")], True, True),
        ([("origin", "http://127.0.0.1:1234"), ("sec-fetch-site", "same-origin")], True, True),
        ([("origin", "http://127.0.0.1:1234"), ("sec-fetch-site", "cross-site")], False, False),
        ([("origin", "http://127.0.0.1:1234"), ("origin", "http://evil.example")], False, False),
        ([("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], False, False),
        ([("origin", "https://127.0.0.1:1234")], False, False),
        ([("origin", "null")], False, False),
        ([("sec-fetch-site", "same-site")], False, False),
        ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], False, False),
    ],
)
def test_another_site_may_ask_for_nothing_and_changes_need_our_own_page(
    headers: Headers, reads: bool, changes: bool, method: str, streams: bool
) -> None:
    may = changes if streams or method == "POST" else reads
    assert (of_origin(asked(*headers, method=method, streams=streams), OWN) is None) is may


@pytest.mark.parametrize(
    ("cookie", "session", "may"),
    [
        (f"{COOKIE}=s1", "s1", True),
        (f"a=b; {COOKIE}=s1", "s1", True),
        (f"{COOKIE}=s2", "s1", False),
        (f"{COOKIE}=", "", False),
        ("", "", False),
        ("", "s1", False),
    ],
)
def test_only_the_session_comes_in_and_before_there_is_one_nobody(cookie: str, session: str, may: bool) -> None:
    refused = of_session(asked(("cookie", cookie)), session, lambda one, other: one == other)
    assert (refused is None) is may


def test_of_two_cookies_of_one_name_the_first_counts() -> None:
    assert cookies(asked(("cookie", f"{COOKIE}=a; {COOKIE}=b"), ("cookie", f"{COOKIE}=c"))) == {COOKIE: "a"}
