"""A stack, the console in front of it as a person starts it, and Debian's chromium.

DIRECTPV_PICTURES names a folder into which the tests put the pictures of docs/: docs/images/console.
"""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from directpv_cli.local.csi_client import creation
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from stack.running import PLUGIN
from support.cluster import Cluster, Pod, cluster, in_thread, keep_logs
from support.mounts import own_mounts  # noqa: F401 - a fixture

HOSTILE = "<img src=x onerror=alert(1)>"
"""What a name may be that somebody else chose."""
CHROMIUM = "/usr/bin/chromium"
WITHIN = 40.0
MS = WITHIN * 1000
expect.set_options(timeout=MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(120))


@dataclass
class Console:
    """A running console."""

    url: str
    process: "subprocess.Popen[str]"
    root: str = ""
    """Address of the first page, with a slash at its end; known when somebody has come in."""
    state: Any = None
    """What the browser keeps of its session."""

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@contextmanager
def console(running: Cluster, *flags: str, opener: Path | None = None) -> Iterator[Console]:
    """Start a console in front of a stack; it is gone afterwards. ``opener``: takes pages to a browser."""
    env = {**os.environ, "DIRECTPV_NATS_URL": running.stack.nats_url}
    if opener is not None:
        env |= {"BROWSER": str(opener), "DISPLAY": ":0"}
    command = [str(PLUGIN), "console", *(["--no-browser"] if opener is None else []), *flags]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        yield Console(process.stdout.readline().strip(), process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            said = process.communicate(timeout=WITHIN)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0]
        print(said)


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with cluster(nodes=2, drives=3) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack
        if request.session.testsfailed:
            keep_logs(stack)


@pytest.fixture(scope="module")
def volumes(running: Cluster) -> list[str]:
    """Two volumes of claims, one of which has markup for a name; the first is used by a pod, and has data."""

    async def make() -> list[str]:
        async with running.csi() as client:
            made = []
            for name, claim in (("pvc-used", "data"), ("pvc-hostile", HOSTILE)):
                asked = creation(name, 64 * MIB)
                asked.parameters[names.PVC_NAME], asked.parameters[names.PVC_NAMESPACE] = claim, "shop"
                made.append((await client.controller.CreateVolume(asked)).volume)
        node = made[0].accessible_topology[0].segments[names.NODE]
        async with running.csi([each.name for each in running.stack.nodes].index(node)) as client:
            pod = Pod(client, made[0], running.stack.directory / "pods")
            await pod.stage()
            await pod.publish()
            Path(pod.target, "file").write_bytes(b"x" * MIB)
        return [each.volume_id for each in made]

    return in_thread(lambda: asyncio.run(make()))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="module")
def served(running: Cluster, browser: Browser) -> Iterator[Console]:
    """The console of most tests; its token was used, as a person does it."""
    with console(running) as found:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(MS)
        page.goto(found.url)
        page.wait_for_selector("#verdict")
        found.root, found.state = page.url, context.storage_state()
        context.close()
        yield found


@dataclass
class Visit:
    """One page of the browser, and where the console is."""

    page: Page
    root: str
    complaints: list[str]
    """What the browser found wrong."""

    def go(self, path: str = "") -> Page:
        self.page.goto(self.root + path)
        self.page.wait_for_selector("body.alive")
        return self.page


def complains(said: ConsoleMessage) -> bool:
    """Tell whether the browser found something wrong; that a form was refused is for people, who read it."""
    return said.type == "error" and not re.search(r"status of (400|409)", said.text)


@pytest.fixture
def visit(browser: Browser, served: Console) -> Iterator[Visit]:
    """A person who has come in. Whatever the browser complains of fails the test."""
    context = browser.new_context(storage_state=served.state, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if complains(said) else None)
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(served.root) else None)
    yield Visit(page, served.root, complaints)
    context.close()
    assert complaints == []


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Take a picture for the documents, if that is asked for."""
    folder = os.environ.get("DIRECTPV_PICTURES", "")

    def take(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder, f"{name}.png"))

    return take


def accessible(page: Page) -> None:
    """No rule of axe is broken."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
