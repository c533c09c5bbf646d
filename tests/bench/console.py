"""The web console before 10,000 drives: until a browser paints a page, and what all pages together cost the controller.

The aim: the first paint of every page within a second, and a tenth of the controller's time at most. Floor: the page
that shows nothing but the console's frame, in the same browser.
"""

import os
import secrets
import sys
import time
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen

from playwright.async_api import Page, async_playwright

import directpv_common.protocol.messages as m
from bench import programs, registry
from bench.measure import ms, show
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.api import Controller

CHROMIUM = "/usr/bin/chromium"
DRIVES, VOLUMES, ROUNDS, TABS = 10_000, 20_000, 7, 8
WATCHED_SECONDS = 30.0
SETTLED_SECONDS = 11.0
"""Until pages have painted, and nobody is thought to look who has no page open."""
FLOOR = "jobs"
PAGES = {
    "the frame alone": FLOOR,
    "fleet": "",
    "nodes, 50 of 500": "nodes",
    "drives, 50 of 10,000": "drives",
    "drives, 500 of 10,000": "drives?per=500",
    "drives by free space, found by a word": "drives?q=worker-0042&sort=free&order=desc",
    "volumes, 50 of 20,000": "volumes",
    "one drive": f"drives/{registry.uuid.UUID(int=4711)}",
    "one node": f"nodes/{registry.node_name(42)}",
}
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


async def bench(work: Path, url: str) -> None:
    """Print the tables."""
    prefix, file = f"bench-{secrets.token_hex(3)}", work / "registry.db"
    registry.fill(file, drives=DRIVES, volumes=VOLUMES)
    common = {"DIRECTPV_NATS_URL": url, "DIRECTPV_SUBJECT_PREFIX": prefix, "DIRECTPV_METRICS_PORT": "0"}
    own = {"DIRECTPV_REGISTRY": str(file), "DIRECTPV_ONLINE_SECONDS": "0"}  # nodes of the drives do not run
    controller = programs.python("directpv_controller")
    with programs.program(*controller, env={**common, **own}, log=work / "controller.log") as leader:
        async with connect_bus(url, name="bench", prefix=prefix) as bus:
            await bus.call(Controller.NODE_LIST, m.ListNodes(limit=1, paged=True), within=60)
        with Popen(
            [sys.executable, "-m", "directpv_cli", "console", "--no-browser"],
            env={**os.environ, "DIRECTPV_NATS_URL": url, "DIRECTPV_PREFIX": prefix},
            stdout=PIPE,
            text=True,
        ) as console:
            assert console.stdout is not None
            try:
                await _measured(console.stdout.readline().strip(), leader.pid, console.pid)
            finally:
                console.terminate()


async def _measured(address: str, controller: int, console: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(viewport={"width": 1600, "height": 1000})
        page = await context.new_page()
        await page.goto(address)
        await page.wait_for_selector("#verdict")
        root = page.url
        rows = [await _row(page, name, root + path) for name, path in PAGES.items()]
        floor = rows[0][1]
        cells = [
            [name, ms(paint), f"{paint / floor:.1f} ×", ms(worst), f"{size / 1024:,.0f} KiB"]
            for name, paint, worst, size in rows
        ]
        columns = ["page", "first paint, median", "÷ floor", "worst", "size"]
        show(f"Console, {DRIVES:,} drives, {VOLUMES:,} volumes, median of {ROUNDS}", columns, cells)
        await _cost(page, root, controller, console)
        await browser.close()


async def _row(page: Page, name: str, address: str) -> tuple[str, float, float, int]:
    paints, size = [], 0
    for _ in range(ROUNDS):
        answer = await page.goto(address)
        assert answer is not None
        assert answer.ok, address
        size = len(await answer.body())
        while not (painted := await page.evaluate(PAINTED)):
            await page.wait_for_timeout(10)
        paints.append(painted / 1000)
    return name, median(paints), max(paints), size


async def _cost(page: Page, root: str, controller: int, console: int) -> None:
    """Print what open pages cost per second."""
    rows = []
    await page.goto("about:blank")
    for tabs, path in ((0, ""), (1, "drives"), (1, ""), (TABS, "drives")):
        pages = [await page.context.new_page() for _ in range(tabs)]
        for each in pages:
            await each.goto(f"{root}{path}")
        await page.wait_for_timeout(SETTLED_SECONDS * 1000)
        before, begun = _used(controller, console), time.monotonic()
        await page.wait_for_timeout(WATCHED_SECONDS * 1000)
        seconds = time.monotonic() - begun
        used = [(now - then) / seconds for now, then in zip(_used(controller, console), before, strict=True)]
        memory = f"{programs.resident(console) / 1024**2:,.0f} MiB"
        rows.append([f"{tabs} of {path or 'fleet'}", *(f"{each:.1%}" for each in used), memory])
        for each in pages:
            await each.close()
    columns = ["pages", "controller's CPU", "console's CPU", "browser's CPU", "console's memory"]
    show(f"What open pages cost, {WATCHED_SECONDS:.0f} s each", columns, rows)


def _used(controller: int, console: int) -> tuple[float, float, float]:
    """Return processor seconds of the controller, the console and all processes of the browser."""
    browser = sum(map(programs.cpu_seconds, _below(os.getpid(), "chromium")))
    return programs.cpu_seconds(controller), programs.cpu_seconds(console), browser


def _below(pid: int, name: str) -> list[int]:
    """Return the processes of a name that descend from one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child] * (Path(f"/proc/{child}/comm").read_text().strip() == name) + _below(child, name)
    return found
