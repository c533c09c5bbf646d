"""Every page that shows: what is on it, that it is live, and that names are text, whoever chose them."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from console.acting import planned
from console.conftest import HOSTILE, MS, Console, Visit, accessible
from directpv_cli.local.csi_client import CsiClient, creation
from directpv_cli.local.machine import disks
from directpv_common.protocol import names
from directpv_common.protocol.units import MIB
from directpv_csi_gateway.pb import csi_pb2 as csi
from stack.running import run
from support.cluster import Cluster, in_thread
from support.pulling import device_of, pull

Picture = Callable[[Page, str], None]


PICTURES = {"nodes/node-1": "node", "events?type=drive": "events"}
"""Pages of which the documents have pictures."""


def plugin(running: Cluster, *words: str) -> str:
    """Run the plugin, which must succeed."""
    done = run("kubectl-directpv", *words, url=running.stack.nats_url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def first_drive(page: Page) -> str:
    """Return the id of a drive, as the table of drives has it."""
    return page.locator("tbody .id").first.inner_text()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nodes", "node-1"),
        ("nodes/node-1", "Bays"),
        ("drives", "1–6 of 6"),
        ("volumes", "pvc-used"),
        ("volumes/pvc-used", "shop/data"),
        ("events?type=drive", "drive.registered"),
        ("events?since=7d", "read from the stream"),
    ],
)
def test_a_page_has_what_it_is_for_and_no_rule_of_accessibility_is_broken(
    visit: Visit, volumes: list[str], picture: Picture, path: str, says: str
) -> None:
    page = visit.go(path)
    expect(page.locator("main")).to_contain_text(says)
    expect(page.locator("nav [aria-current], nav .within")).to_have_count(1)
    accessible(page)
    if path in PICTURES:
        picture(page, PICTURES[path])


@pytest.mark.parametrize("path", ["nothing", "nodes/no-such", "drives/no-such", "volumes/<b>", "nodes/<script>"])
def test_what_is_not_there_is_said_with_the_name_as_text(browser: Browser, served: Console, path: str) -> None:
    context = browser.new_context(storage_state=served.state)
    page = context.new_page()
    answer = page.goto(served.root + path)
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("Nothing here")
    expect(page.locator("main")).to_contain_text(path.rpartition("/")[2] if "/" in path else "no such page")
    assert page.locator("main b, main script").count() == 0
    context.close()


def test_drives_are_filtered_sorted_and_paged_by_the_address(visit: Visit, running: Cluster) -> None:
    page = visit.go("drives?per=2&sort=name&order=desc")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("nav.pages").first).to_contain_text("1–2 of 6")
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Drive"))
    page.get_by_role("link", name="Next").first.click()
    expect(page.locator("nav.pages").first).to_contain_text("3–4 of 6")
    page.wait_for_selector("body.alive")
    page.keyboard.press("/")
    page.keyboard.type("node-2")
    page.keyboard.press("Enter")
    expect(page.locator("nav.pages").first).to_contain_text("1–3 of 3 that match, 6 in all")
    expect(page.locator("tbody th a").first).to_have_text(re.compile("node-2/"))
    page.wait_for_selector("body.alive")
    page.get_by_label("State").select_option("unwell")
    expect(page.locator("tbody")).to_contain_text("No drive matches.")


def test_the_page_of_a_drive_follows_what_happens_to_it_without_reload(
    visit: Visit, running: Cluster, picture: Picture
) -> None:
    fsuuid = first_drive(visit.go("drives"))
    page = visit.go(f"drives/{fsuuid}")
    page.evaluate("window.kept = true")
    expect(page.locator("#state")).to_contain_text("takes new volumes")
    plugin(running, "cordon", fsuuid)
    expect(page.locator("#state")).to_contain_text("Ready,SchedulingDisabled")
    expect(page.locator("#told")).to_contain_text("drive.changed")
    plugin(running, "uncordon", fsuuid)
    expect(page.locator("#state")).to_contain_text("takes new volumes")
    device = device_of(running, fsuuid)
    file = pull(running, device)
    try:
        expect(page.locator("#state .items")).to_contain_text("put the disk back", timeout=2 * MS)
        expect(page.locator("#told .bad").first).to_have_text("drive.lost")
        expect(page.locator("#verdict.unwell")).to_be_visible()
        accessible(page)
        picture(page, "drive-lost")
    finally:
        disks.command("losetup", f"/dev/{device}", file)
    expect(page.locator("#state")).to_contain_text("takes new volumes", timeout=2 * MS)
    assert page.evaluate("window.kept") is True


def test_a_drive_has_a_history_and_a_volume_its_use_as_nodes_sample_them(visit: Visit, volumes: list[str]) -> None:
    page = visit.go("volumes")
    used = page.locator("tr", has_text="pvc-used").locator("meter")
    expect(used).to_be_visible(timeout=2 * MS)
    page.locator("tr", has_text="pvc-used").locator("td a").nth(1).click()
    expect(page.locator("#history")).to_contain_text("B/s, at most", timeout=2 * MS)
    expect(page.locator("svg[role=img]").first).to_have_attribute("aria-label", re.compile("Throughput: read"))
    expect(page.locator("#volumes")).to_contain_text("pvc-used")


def test_events_come_by_themselves_and_are_filtered(visit: Visit, running: Cluster) -> None:
    fsuuid = first_drive(visit.go("drives"))
    page = visit.go("events?type=drive.changed")
    plugin(running, "cordon", fsuuid)
    plugin(running, "uncordon", fsuuid)
    expect(page.locator("tbody a", has_text=fsuuid).first).to_be_visible()
    assert set(page.locator("tbody td.state").all_inner_texts()) == {"drive.changed"}


def test_events_that_are_older_are_replayed_from_the_stream_by_the_same_filters(visit: Visit, running: Cluster) -> None:
    fsuuid = first_drive(visit.go("drives"))
    page = visit.go(f"events?since=7d&type=drive.added&q={fsuuid}")
    expect(page.locator("tbody td.state")).to_have_text(["drive.added"])
    expect(page.locator("tbody a")).to_have_text([fsuuid])


def test_a_name_with_markup_is_shown_as_text_wherever_it_stands(visit: Visit, volumes: list[str]) -> None:
    for path in ("volumes", "volumes/pvc-hostile", "events?type=volume.created", "volumes?q=onerror"):
        page = visit.go(path)
        expect(page.locator("main")).to_contain_text("pvc-hostile")
        assert page.locator("main img").count() == 0
    visit.go("volumes")
    expect(visit.page.locator("tr", has_text="pvc-hostile")).to_contain_text(HOSTILE)
    page = visit.go("drives?q=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&state=%3Cb%3E&sort=%3Cb%3E&node=%3Cb%3E")
    expect(page.locator("input[type=search]")).to_have_value('"><img src=x onerror=alert(1)>')
    assert page.locator("main img, main b").count() == 0


def test_what_has_the_focus_is_selected_or_ticked_stays_so_while_the_page_changes(
    visit: Visit, running: Cluster
) -> None:
    fsuuid = first_drive(visit.go("drives"))
    page = visit.page
    page.locator("tbody input").nth(1).check()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('tbody .id'))")
    page.locator(".scroll").focus()
    plugin(running, "cordon", fsuuid)
    try:
        expect(page.locator("tbody tr").first).to_contain_text("SchedulingDisabled")
        assert page.evaluate("[document.activeElement.className, String(getSelection())]") == ["scroll", fsuuid]
        expect(page.locator("tbody input:checked")).to_have_count(1)
    finally:
        plugin(running, "uncordon", fsuuid)


def test_a_page_whose_volume_comes_and_is_deleted_while_one_looks_says_so(
    browser: Browser, served: Console, running: Cluster
) -> None:
    context = browser.new_context(storage_state=served.state)
    page = context.new_page()

    async def change(then: Callable[[CsiClient], Awaitable[object]]) -> None:
        async with running.csi() as client:
            await then(client)

    page.goto(f"{served.root}volumes/pvc-brief")
    expect(page.locator("h1")).to_have_text("Nothing here")
    in_thread(lambda: asyncio.run(change(lambda csi_: csi_.controller.CreateVolume(creation("pvc-brief", 16 * MIB)))))
    expect(page.locator("h1")).to_have_text("Volume pvc-brief")
    page.wait_for_selector("body.alive")
    gone = csi.DeleteVolumeRequest(volume_id="pvc-brief")
    in_thread(lambda: asyncio.run(change(lambda csi_: csi_.controller.DeleteVolume(gone))))
    expect(page.locator("main [role=alert]")).to_have_text("No volume is called pvc-brief; it may have been deleted.")
    expect(page).to_have_title(re.compile("Nothing here"))
    assert page.get_by_role("button").count() == 0
    context.close()


def test_a_page_that_cannot_be_had_again_says_that_what_it_shows_is_old(visit: Visit) -> None:
    page = visit.go("drives")
    page.route(f"{visit.root}drives", lambda route: route.abort("timedout"))
    expect(page.locator("#lost")).to_contain_text("What is shown below is old: the console does not answer.")
    page.unroute(f"{visit.root}drives")
    expect(page.locator("#lost")).to_be_hidden()
    visit.complaints.clear()


def test_how_long_ago_something_was_goes_on_although_nothing_changes(visit: Visit) -> None:
    page = visit.go("discover")
    page.get_by_role("button", name="Look for devices on all nodes").click()
    expect(page.locator("#devices")).to_contain_text(re.compile(r"Seen ([3-9]|\d\d+)s ago"))


def test_a_page_that_nobody_sees_asks_for_nothing_and_is_up_to_date_when_it_is_seen(
    visit: Visit, running: Cluster
) -> None:
    fsuuid = first_drive(visit.go("drives"))
    hidden = visit.go("drives")
    show = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    hidden.evaluate(show % "true")
    seen = hidden.context.new_page()
    seen.goto(f"{visit.root}drives")
    seen.wait_for_selector("body.alive")
    asked: list[str] = []
    hidden.on("request", lambda request: asked.append(request.url))
    plugin(running, "cordon", fsuuid)
    try:
        expect(seen.locator("tbody tr").first).to_contain_text("SchedulingDisabled")
        assert asked == []
        hidden.evaluate(show % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
        expect(hidden.locator("tbody tr").first).to_contain_text("SchedulingDisabled")
    finally:
        plugin(running, "uncordon", fsuuid)


def test_enter_does_what_its_field_is_for_and_keys_keep_their_place(visit: Visit, volumes: list[str]) -> None:
    page = visit.go("volumes")
    page.locator("tbody input").first.check()
    page.keyboard.press("Enter")  # several things could be done to it: none is
    page.locator("summary").click()
    page.get_by_role("button", name="Label…").focus()
    page.keyboard.press("Enter")
    expect(page.locator("form [role=alert]").last).to_contain_text("labels: write KEY=VALUE")
    expect(page.get_by_role("button", name="Label…")).to_be_focused()
    page.get_by_label("State").focus()
    page.keyboard.press("ArrowDown")  # a choice on the way to another one
    page.get_by_label("Labels").fill("a=b")
    page.keyboard.press("Enter")
    page.wait_for_url("**/plans/*")
    expect(page.locator("h1")).to_have_text(re.compile("^Label: "))


@pytest.mark.parametrize("path", ["", "nodes/node-1", "drives", "volumes/pvc-hostile", "events"])
def test_a_narrow_window_or_one_of_large_letters_shows_all_of_a_page(
    visit: Visit, volumes: list[str], path: str
) -> None:
    """Source: WCAG 2.2, 1.4.10 Reflow: 320 by 256 is a window of 1280 by 1024 at 400 %."""
    visit.page.set_viewport_size({"width": 320, "height": 256})
    page = visit.go(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.locator("main a, main input").last.focus()
    box = page.locator("header").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 0, "the header hides nothing that has the focus"
    page.emulate_media(media="print")
    expect(page.locator("header nav")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible() if path else expect(page.locator("#attention")).to_be_visible()


def test_a_name_as_long_as_names_may_be_makes_no_page_wider_than_the_window(visit: Visit, running: Cluster) -> None:
    name = "pvc-" + "x" * 116

    async def made() -> None:
        async with running.csi() as client:
            asked = creation(name, 16 * MIB)
            asked.parameters[names.PVC_NAME], asked.parameters[names.PVC_NAMESPACE] = "c" * 253, "n" * 63
            await client.controller.CreateVolume(asked)

    in_thread(lambda: asyncio.run(made()))
    visit.page.set_viewport_size({"width": 320, "height": 256})
    for path in ("volumes", f"volumes/{name}", "events"):
        assert visit.go(path).evaluate("document.documentElement.scrollWidth") == 320, path
    page = planned(visit.go(f"volumes/{name}"), "Suspend")
    expect(page.locator("#why-typed strong")).to_have_text(name)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_all_pages_are_reached_by_the_keyboard_alone(visit: Visit) -> None:
    page = visit.go()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.reload()
    for title in ("Fleet", "Nodes", "Drives", "Volumes", "Events"):
        while page.evaluate("document.activeElement.textContent.trim()") != title:
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("nav [aria-current]")).to_have_text(title)
