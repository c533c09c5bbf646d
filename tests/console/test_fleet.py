"""The first screen: green only while all is well and heard."""

import asyncio
import json
import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from console.conftest import MS, Console, Visit, accessible
from directpv_cli.console.serving.keeper import LOOKED_SECONDS
from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import run
from support.cluster import Cluster, in_thread
from support.pulling import device_of, pull

Picture = Callable[[Page, str], None]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_installation_that_is_well_is_green_and_says_when_it_was_heard(
    visit: Visit, picture: Picture, scheme: str
) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page = visit.go()
    expect(page.locator("#verdict")).to_have_text("Healthy")
    expect(page.locator("#verdict")).to_have_class("verdict well")
    expect(page.locator("#attention")).to_contain_text("every drive and every volume is well")
    expect(page.locator("#age")).to_contain_text("heard")
    expect(page.locator(".bay.good")).to_have_count(6)
    expect(page.locator("#facts")).to_contain_text("6 Ready")
    accessible(page)
    picture(page, f"fleet-{scheme}")


def test_a_drive_that_is_pulled_while_one_looks_turns_the_screen_red_without_reload(
    visit: Visit, running: Cluster, picture: Picture
) -> None:
    page = visit.go()
    expect(page.locator("#verdict.well")).to_be_visible()
    page.evaluate("window.kept = true")
    fsuuid = page.locator(".bay").first.get_attribute("href").rpartition("/")[2]
    device = device_of(running, fsuuid)
    file = pull(running, device)
    try:
        expect(page.locator("#verdict.unwell")).to_be_visible(timeout=2 * MS)
        expect(page.locator("#attention .items")).to_contain_text("Lost")
        expect(page).to_have_title("1 trouble · Fleet · DirectPV")
        expect(page.locator("#attention .advice").first).to_contain_text("put the disk back")
        expect(page.locator(".bay.bad")).to_have_count(1)
        accessible(page)
        picture(page, "fleet-pulled")
    finally:
        disks.command("losetup", f"/dev/{device}", file)
    expect(page.locator("#verdict.well")).to_be_visible(timeout=2 * MS)
    assert page.evaluate("window.kept") is True


def test_a_page_whose_script_does_not_run_does_not_stay_green(browser: Browser, served: Console) -> None:
    context = browser.new_context(storage_state=served.state, java_script_enabled=False)
    page = context.new_page()
    page.goto(served.root)
    expect(page.locator("#verdict.well")).to_be_visible()
    expect(page.locator(".dead")).not_to_be_visible()
    expect(page.locator("noscript p")).to_be_visible()
    page.evaluate("document.getAnimations().forEach((each) => each.finish())")  # as if its seconds had passed
    expect(page.locator(".dead")).to_be_visible()
    assert page.locator("#verdict").evaluate("each => getComputedStyle(each).textDecorationLine") == "line-through"
    context.close()


def test_a_controller_that_is_silent_is_never_shown_green(visit: Visit, running: Cluster) -> None:
    page = visit.go()
    expect(page.locator("#verdict.well")).to_be_visible()
    running.freeze("controller-1")
    try:
        expect(page.locator("#verdict.stale")).to_be_visible(timeout=3 * MS)
        expect(page.locator("#verdict")).to_contain_text("Not heard for")
        expect(page.locator("#age.stale")).to_be_visible()
        expect(page.locator(".bay")).to_have_count(6)
        page.reload()
        expect(page.locator("#verdict.stale")).to_be_visible()
        expect(page.locator("#attention")).to_contain_text("what is shown below is how it was then", timeout=2 * MS)
    finally:
        running.thaw("controller-1")
    expect(page.locator("#verdict.well")).to_be_visible(timeout=3 * MS)


NOTE_BLAME = """() => {
  const said = () => document.getElementById("attention").innerText;
  const note = () => { window.blamed ||= said().includes("no controller leads"); };
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_a_bus_that_was_away_is_reached_again_and_said_meanwhile(visit: Visit, running: Cluster) -> None:
    page = visit.go()
    page.evaluate(NOTE_BLAME)
    running.kill("nats")
    try:
        expect(page.locator("#verdict.stale")).to_be_visible(timeout=3 * MS)
        why = re.compile("the bus does not answer|the bus has not answered|no NATS server answers")
        expect(page.locator("#attention")).to_contain_text(why, timeout=3 * MS)
        assert not page.evaluate("window.blamed"), "whether a controller leads is not known"
    finally:
        running.start("nats")
    expect(page.locator("#verdict.well")).to_be_visible(timeout=3 * MS)
    drive = visit.go().locator(".bay").first.get_attribute("href")
    assert drive is not None
    page = visit.go("events?type=drive.changed")
    done = run("kubectl-directpv", "cordon", drive.rpartition("/")[2], url=running.stack.nats_url)
    assert done.returncode == 0, done.stderr
    expect(page.locator("tbody a", has_text=drive.rpartition("/")[2]).first).to_be_visible(timeout=2 * MS)
    run("kubectl-directpv", "uncordon", drive.rpartition("/")[2], url=running.stack.nats_url)


def lists_answered(running: Cluster) -> int:
    """How many pages of drives the controller has listed, by its own statistics. Source: NATS ADR-32."""

    async def ask() -> int:
        async with running.bus() as bus:
            reply = await bus.client.request("$SRV.STATS.directpv-controller", b"", timeout=5)
            endpoints = json.loads(reply.data)["endpoints"]
            return sum(each["num_requests"] for each in endpoints if each["name"] == "drive-list")

    return in_thread(lambda: asyncio.run(ask()))


async def happens(running: Cluster) -> None:
    """Have events told, without any list."""
    async with running.csi() as client:
        volume = (await client.controller.CreateVolume(creation("pvc-quiet", 16 * MIB))).volume
        await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))


def test_many_pages_cost_the_controller_no_more_than_one_and_none_costs_nothing(
    visit: Visit, browser: Browser, served: Console, running: Cluster
) -> None:
    context = browser.new_context(storage_state=served.state)
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(served.root)
    before, begun = lists_answered(running), time.monotonic()
    pages[0].wait_for_timeout(4_000)
    looks = lists_answered(running) - before
    assert 1 <= looks <= (time.monotonic() - begun) + 1
    context.close()
    visit.page.wait_for_timeout((LOOKED_SECONDS + 1) * 1000)
    before = lists_answered(running)
    in_thread(lambda: asyncio.run(happens(running)))
    visit.page.wait_for_timeout(4_000)
    assert lists_answered(running) == before
