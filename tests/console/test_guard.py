"""Who may come in, asked of the running console as hostile pages and programs would ask."""

import http.client
import http.server
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import Browser, expect

from console.conftest import WITHIN, Console, console
from support.cluster import Cluster

Answer = tuple[int, dict[str, str], str]
HOSTS = ("localhost:{}", "0.0.0.0:{}", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "[::1]:{}", "")
PAGES = ("", "static/console.css", "live")
GUARDED = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Answer:
    """Ask, with underscores for the dashes of headers' names."""
    connection = http.client.HTTPConnection(host, port, timeout=WITHIN)
    try:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        streams = answer.headers.get_content_type() == "text/event-stream"
        body = b"" if streams else answer.read()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, body.decode()
    finally:
        connection.close()


class Inside:
    """A console whose token was used, and the cookie that was given for it."""

    def __init__(self, console: Console) -> None:
        self.console, self.port = console, console.port
        self.entering = ask(self.port, console.url.partition(str(self.port))[2])
        cookie = self.entering[1]["set-cookie"]
        self.cookie, path, *self.attributes = cookie.split("; ")
        self.root = path.removeprefix("Path=")
        self.origin = f"http://127.0.0.1:{self.port}"

    def ask(self, path: str = "", method: str = "GET", **headers: str) -> Answer:
        return ask(self.port, self.root + path, method, **{"cookie": self.cookie, **headers})


@pytest.fixture(scope="module")
def inside(running: Cluster) -> Iterator[Inside]:
    with console(running) as found:
        yield Inside(found)


def test_the_token_lets_one_browser_in_and_nobody_after_it(inside: Inside) -> None:
    status, _, page = inside.entering
    assert (status, inside.attributes) == (200, ["HttpOnly", "SameSite=Strict"])
    assert inside.cookie.partition("=")[2] not in page
    assert len(inside.root) > 20
    again = ask(inside.port, inside.console.url.partition(str(inside.port))[2])
    assert (again[0], "set-cookie" in again[1]) == (403, False)
    assert "end the console and start it again" in again[2]
    assert inside.ask()[0] == 200


def test_nobody_comes_in_by_another_token_or_another_host_header(running: Cluster) -> None:
    with console(running) as found:
        token = found.url.partition(str(found.port))[2]
        for other in ("/", "/?token=", "/?token=wrong", "/?token=%00", "/?token=%C3%A9", "/?other=x", "/x" + token):
            assert ask(found.port, other)[0] == 403, other
        for host in HOSTS:
            assert ask(found.port, token, Host=host.format(found.port))[0] in (400, 421), host
        assert ask(found.port, token)[0] == 200


def test_the_browser_is_opened_by_a_page_of_the_users_own_and_the_token_is_no_argument_of_a_program(
    running: Cluster, browser: Browser, tmp_path: Path
) -> None:
    opener, noted = tmp_path / "opener", tmp_path / "noted"
    opener.write_text(
        f'#!/bin/sh\n{{ echo "$*"; stat -c %a "${{1#file://}}"; }} > {noted}.new && mv {noted}.new {noted}\n'
    )
    opener.chmod(0o700)
    with console(running, opener=opener) as found:
        assert found.process.stdout is not None
        assert found.process.stdout.readline().startswith("Opened in the browser; if it shows nothing, open this")
        arguments, rights = noted.read_text().split()
        assert (arguments.startswith("file:///"), rights) == (True, "600")
        assert found.url.partition("token=")[2] not in arguments
        page = browser.new_page()
        page.goto(arguments)
        page.wait_for_selector("#verdict")
        assert "token" not in page.url
        assert not Path(arguments.removeprefix("file://")).exists()
        page.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("cookie", [None, "", "directpv-console=", "directpv-console=guess", "other=x"])
def test_without_the_session_nothing_is_shown(inside: Inside, path: str, cookie: str | None) -> None:
    headers = {} if cookie is None else {"cookie": cookie}
    status, _, said = ask(inside.port, inside.root + path, **headers)
    assert status == 403
    assert "console" in said


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_header_is_refused_although_the_session_is_shown(inside: Inside, host: str) -> None:
    assert inside.ask(Host=host.format(inside.port))[0] in (400, 421)


def test_two_host_headers_are_refused(inside: Inside) -> None:
    with socket.create_connection(("127.0.0.1", inside.port), timeout=WITHIN) as plain:
        host = f"Host: 127.0.0.1:{inside.port}\r\n"
        plain.sendall(f"GET {inside.root} HTTP/1.1\r\n{host}{host}Cookie: {inside.cookie}\r\n\r\n".encode())
        assert plain.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", PAGES)
def test_what_another_site_asks_for_is_refused_although_the_session_is_shown(
    inside: Inside, path: str, headers: dict[str, str]
) -> None:
    assert inside.ask(path, **headers)[0] == 403


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", "live")])
def test_changes_and_streams_need_the_word_of_the_browser_that_our_own_page_asks(
    inside: Inside, method: str, path: str
) -> None:
    assert inside.ask(path, method)[0] == 403
    assert inside.ask(path, method, sec_fetch_site="none")[0] == 403
    assert inside.ask(path, method, origin=inside.origin)[0] != 403
    assert inside.ask(path, method, sec_fetch_site="same-origin")[0] != 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(inside: Inside, method: str) -> None:
    assert inside.ask("", method, origin=inside.origin)[0] == 405


def test_every_answer_carries_the_headers_that_keep_a_page_from_others(inside: Inside) -> None:
    answers = [
        inside.entering,
        ask(inside.port, "/"),
        ask(inside.port, "/", Host="evil.example"),
        inside.ask(),
        inside.ask("static/console.css"),
        inside.ask("nothing"),
    ]
    for status, headers, _ in answers:
        assert {name: headers.get(name) for name in GUARDED} == GUARDED, status
    assert "unsafe" not in GUARDED["content-security-policy"]


def test_no_page_has_script_or_style_in_it(inside: Inside) -> None:
    page = inside.ask()[2]
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=') == 1


def test_it_listens_on_loopback_alone(inside: Inside) -> None:
    wanted = f"{inside.port:04X}"
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    listening = [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{wanted}")]
    assert listening == [f"0100007F:{wanted}"]


def test_ipv6_is_loopback_too_with_a_name_of_its_own(running: Cluster) -> None:
    with console(running, "--ipv6") as found:
        came_in = Inside(found)
        host = f"[::1]:{found.port}"
        assert ask(found.port, came_in.root, host="::1", Host=host, cookie=came_in.cookie)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_a_page_open(running: Cluster, browser: Browser, number: int) -> None:
    with console(running) as found:
        context = browser.new_context()
        page = context.new_page()
        page.goto(found.url)
        page.wait_for_selector("body.alive")
        assert found.end(number) == 0
        page.wait_for_selector("#lost:not([hidden])")
        page.wait_for_selector("#verdict.stale")
        context.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", found.port), timeout=1).close()


def test_it_ends_by_itself_when_nobody_looks(running: Cluster) -> None:
    with console(running, "--idle", "1s") as found:
        assert found.process.wait(WITHIN) == 0
        assert found.process.stdout is not None
        assert "Nobody looked at the console for 1s" in found.process.stdout.read()


def test_a_port_that_is_taken_is_said(running: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, console(running, f"--port={taken.getsockname()[1]}") as found:
        assert found.process.wait(WITHIN) == 1
        assert "--port: cannot listen" in found.url


def test_a_bus_that_is_not_there_is_said_and_nothing_is_served(running: Cluster) -> None:
    with console(running, "--nats-url=nats://127.0.0.1:1") as found:
        assert found.process.wait(WITHIN) == 1
        assert "no NATS server answers" in found.url


def test_who_may_not_ask_what_pages_show_is_told_so_and_nothing_is_served(running: Cluster) -> None:
    key = running.stack.directory / "keys" / "observer.nkey"
    with console(running, f"--nats-nkey={key}") as found:
        assert found.process.wait(WITHIN) == 1
        assert "may not ask this; the console needs the rights of an administrator" in found.url


class Neighbour(http.server.BaseHTTPRequestHandler):
    """Another server of this machine; notes what browsers show it."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Neighbour.seen.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><p>a neighbour</p>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


REACHING_OVER = """async ([root]) => {
  const options = {mode: "no-cors", credentials: "include"};
  const ask = (path, init) => fetch(root + path, {...options, ...init}).then(() => "answered", () => "blocked");
  const body = new URLSearchParams({action: "cordon", target: "x"});
  const post = {method: "POST"};
  const said = [await ask(""), await ask("live"), await ask("plans", {...post, body}), await ask("discover", post)];
  const frame = document.createElement("iframe");
  frame.src = root;
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  return said;
}"""


def test_another_server_of_this_machine_is_not_sent_the_session_and_its_pages_get_nothing(
    browser: Browser, served: Console
) -> None:
    context = browser.new_context(storage_state=served.state)
    page = context.new_page()
    framed: list[int] = []
    page.on("response", lambda answer: framed.append(answer.status) if answer.url == served.root else None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neighbour) as neighbour:
        threading.Thread(target=neighbour.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{neighbour.server_port}/")
        said = page.evaluate(REACHING_OVER, [served.root])
        neighbour.shutdown()
    assert (set(Neighbour.seen), said, framed) == ({""}, ["blocked"] * 4, [403])
    page.goto(f"{served.root}discover")
    expect(page.locator("#devices")).to_contain_text("Nobody looked yet")
    context.close()
