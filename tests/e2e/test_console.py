"""The console before a cluster, from outside of it: through the API server, with the rights of a kubeconfig's user."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright, expect

from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT
from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.workloads import KEY

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

CHROMIUM: Final = Path("/usr/bin/chromium")
WITHIN: Final = 60.0
LIMIT: Final = 180.0
"""Seconds until a way that was lost is known to be, or is there again."""
MS: Final = LIMIT * 1000
KUBECTL: Final = "port-forward"
WATCH: Final = """() => {
  window.said = [];
  window.noting?.disconnect();
  const note = () => {
    const why = document.getElementById("attention").innerText;
    if (document.querySelector("#verdict.stale") && why.includes("Not heard for")) window.said.push(why);
  };
  window.noting = new MutationObserver(note);
  window.noting.observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


class Person:
    """Somebody with a kubeconfig, who may what is bound to him."""

    def __init__(self, machines: OwnCluster, driver: Driver, name: str) -> None:
        self.machines, self.driver, self.name = machines, driver, name
        api = machines.plane.api
        self.kubeconfig = api.endpoint.write(machines.directory / f"{name}.yaml", api.pki.client(name))

    @contextlib.asynccontextmanager
    async def bound(self, role: str) -> AsyncIterator[None]:
        """Be bound to a Role of the installation in the block."""
        flags = (f"--role={role}", f"--user={self.name}")
        self.machines.api.kubectl("-n", NAMESPACE, "create", "rolebinding", self.name, *flags)
        try:
            yield
        finally:
            self.machines.api.kubectl("-n", NAMESPACE, "delete", "rolebinding", self.name)

    async def start(self) -> "asyncio.subprocess.Process":
        """Start a console."""
        path = f"{self.machines.api.programs}:{os.environ['PATH']}"
        env = {**os.environ, "HOME": str(self.driver.home), "KUBECONFIG": str(self.kubeconfig), "PATH": path}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "directpv_cli", "console", "--no-browser",
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    async def refused(self) -> str:
        """Start a console that ends by itself; return what it says."""
        process = await self.start()
        try:
            said = (await asyncio.wait_for(process.communicate(), WITHIN))[0].decode()
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode == 1, said
        assert "http" not in said
        return said


class Shown:
    """A console, and a browser in front of it that has come in."""

    def __init__(self, process: "asyncio.subprocess.Process", page: Page) -> None:
        self.process, self.page, self.root = process, page, page.url

    async def go(self, path: str) -> Page:
        await self.page.goto(self.root + path)
        await self.page.wait_for_selector("body.alive")
        return self.page

    async def done(self, button: str) -> str:
        """Press a button of this page, confirm the plan, and wait until it is done; return what was said."""
        await self.page.get_by_role("button", name=f"{button}…", exact=True).click()
        await self.page.wait_for_url("**/plans/*")
        await self.page.wait_for_selector("body.alive")
        await self.page.locator("main form button").click()
        await self.page.wait_for_url("**/jobs/*")
        await expect(self.page.locator("#work [role=status]")).to_contain_text("done", timeout=MS)
        return await self.page.locator("#work").inner_text()

    async def heard(self) -> None:
        """Wait until the page says that the installation is heard."""
        await expect(self.page.locator("#verdict:not(.stale)")).to_be_visible(timeout=MS)

    async def watch(self) -> None:
        """Note what this page says from now on, for however short a time."""
        await self.page.evaluate(WATCH)

    async def silent(self) -> str:
        """Wait until the page has said that it is not; return the reason that stood below."""
        end = time.monotonic() + LIMIT
        while not (said := await self.page.evaluate("window.said")):
            assert time.monotonic() < end, await self.page.locator("#attention").inner_text()
            await asyncio.sleep(0.1)
        return str(said[0])

    def way(self) -> int:
        """Return the kubectl through which it reaches the cluster."""
        own = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (found,) = (pid for pid in own if KUBECTL in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
        return int(found)


@contextlib.asynccontextmanager
async def console(person: Person) -> AsyncIterator[Shown]:
    """Start a console, and open its address as a person does."""
    if not CHROMIUM.exists():
        pytest.skip("no chromium: scripts/setup-system browser")
    process = await person.start()
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), WITHIN)).decode().strip()
        assert re.match(r"http://127\.0\.0\.1:\d+/\?token=", url), url
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = await browser.new_page()
            page.set_default_timeout(WITHIN * 1000)
            await page.goto(url)
            await page.wait_for_selector("body.alive")
            yield Shown(process, page)
            await browser.close()
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), WITHIN)
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_console_refuses_who_may_not_reach_or_command_the_bus_and_says_why(
    machines: OwnCluster, driver: Driver
) -> None:
    stranger = Person(machines, driver, "stranger")
    said = await stranger.refused()
    assert re.search(r'forbidden: User "stranger" cannot', re.sub(r"\s+", " ", said)), said
    async with stranger.bound(OBSERVER_ACCOUNT):
        said = re.sub(r"\s+", " ", await stranger.refused())
        assert "may not ask this; the console needs the rights of an administrator of DirectPV" in said
        assert ADMINISTRATOR_ACCOUNT in said


async def test_the_console_shows_a_cluster_from_outside_and_acts_with_the_rights_of_the_kubeconfigs_user(
    machines: OwnCluster, driver: Driver
) -> None:
    drives = {each["metadata"]["name"]: each for each in driver.drives()}
    chosen = sorted(drives)[0]

    def cordoned() -> bool:
        (found,) = (each for each in driver.drives() if each["metadata"]["name"] == chosen)
        return bool(found["spec"].get("unschedulable"))

    keeper = Person(machines, driver, "keeper")
    async with keeper.bound(ADMINISTRATOR_ACCOUNT), console(keeper) as shown:
        await expect(shown.page.locator("#verdict")).to_have_text("Healthy", timeout=MS)
        for node in machines.nodes:
            await expect(shown.page.locator("#racks")).to_contain_text(node.name)
        page = await shown.go("drives")
        await expect(page.locator("tbody .id")).to_have_count(len(drives))
        assert set(await page.locator("tbody .id").all_inner_texts()) == drives.keys()
        page = await shown.go(f"drives/{chosen}")
        await expect(page.locator("#state")).to_contain_text("Ready")
        assert "cordoned" in await shown.done("Cordon")
        await machines.eventually(cordoned, "the drive is cordoned in the cluster's records")
        await expect((await shown.go(f"drives/{chosen}")).locator("#state")).to_contain_text("SchedulingDisabled")
        assert "uncordoned" in await shown.done("Uncordon")
        await machines.eventually(lambda: not cordoned(), "the drive takes volumes again")


async def behind(machines: OwnCluster) -> str:
    """Return the NATS pod that the console is connected to, as the servers tell."""

    def look() -> str:
        pods = machines.api.objects("-n", NAMESPACE, "pods")
        names = (each["metadata"]["name"] for each in pods)
        return next((name for name in names if re.fullmatch(r"nats-\d+", name) and _is_at(machines, name)), "")

    found: str = await machines.eventually(look, "a NATS server has the console's connection")
    return found


def _is_at(machines: OwnCluster, pod: str) -> bool:
    """Source: NATS monitoring, ``/connz``."""
    told = machines.plane.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8222/proxy/connz")
    return any(each.get("name") == "kubectl-directpv" for each in json.loads(told)["connections"])


async def test_an_open_console_says_that_its_way_into_the_cluster_was_cut_and_is_back_by_itself(
    machines: OwnCluster, driver: Driver
) -> None:
    keeper = Person(machines, driver, "onlooker")
    async with keeper.bound(ADMINISTRATOR_ACCOUNT), console(keeper) as shown:
        await shown.heard()

        async def kubectl_ends() -> None:
            os.kill(shown.way(), signal.SIGKILL)

        async def kubectl_hangs() -> None:
            os.kill(shown.way(), signal.SIGSTOP)

        async def pod_goes() -> None:
            pod = await behind(machines)
            await asyncio.to_thread(
                machines.api.kubectl, "-n", NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force"
            )

        async def api_server_goes() -> None:
            machines.plane.api.process.kill()
            try:
                await shown.silent()
            finally:
                await asyncio.to_thread(machines.plane.api.start_server)

        cuts: list[Callable[[], Awaitable[None]]] = [kubectl_ends, kubectl_hangs, pod_goes, api_server_goes]
        for cut in cuts:
            before, began = shown.way(), time.monotonic()
            await shown.watch()
            await cut()
            said, lost = await shown.silent(), time.monotonic()
            await shown.heard()
            back = time.monotonic() - lost
            print(f"\n{cut.__name__}: said after {lost - began:.0f} s, back {back:.0f} s later: {said}")
            assert shown.way() != before
            await expect(shown.page.locator("#lost")).to_be_hidden()
        for node in machines.nodes:
            await expect(shown.page.locator("#racks")).to_contain_text(node.name)
        await machines.pods_ready(f"selector.{KEY}=nats", 3, NAMESPACE, 300)
