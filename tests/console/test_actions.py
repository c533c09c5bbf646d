"""What can be done, from the button to the drive: plan, confirmation, progress; with the checks of the plugin."""

import asyncio
import http.client
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from console.acting import confirmed, drive_named, listed, planned
from console.conftest import MS, WITHIN, Console, Visit, accessible
from directpv_cli.local.csi_client import creation
from directpv_cli.local.machine import disks
from directpv_common.protocol.units import MIB
from support.cluster import Cluster, in_thread
from support.pulling import device_of, pull

Picture = Callable[[Page, str], None]


def test_a_drive_is_cordoned_and_uncordoned_by_plan_and_progress(
    visit: Visit, running: Cluster, picture: Picture
) -> None:
    fsuuid = drive_named(visit, "node-1")
    page = planned(visit.go(f"drives/{fsuuid}"), "Cordon")
    expect(page.locator(".log")).to_contain_text(re.compile(r"Drive node-1/\w+ cordoned\s*$"))
    assert "SchedulingDisabled" not in listed(running, "drives", "--all")
    accessible(page)
    said = confirmed(page)
    accessible(page)
    assert "cordoned" in said
    assert "dry run" not in said
    assert "SchedulingDisabled" in listed(running, "drives", "--all")
    again = planned(visit.go(f"drives/{fsuuid}"), "Cordon")
    expect(again.locator(".log")).to_contain_text("already cordoned")
    confirmed(planned(visit.go(f"drives/{fsuuid}"), "Uncordon"))
    assert "SchedulingDisabled" not in listed(running, "drives", "--all")


def test_several_drives_are_labelled_at_once_and_a_bad_label_is_refused_in_a_line(
    visit: Visit, running: Cluster
) -> None:
    page = visit.go("drives?q=node-2")
    page.get_by_label("all drives of this page").check()
    page.locator("summary").click()
    page.get_by_label("Labels").fill("bad label!")
    page.get_by_role("button", name="Label…").click()
    page.wait_for_url("**/plans/*")
    expect(page.locator("h2")).to_have_text("It cannot be done")
    expect(page.locator(".log .bad")).to_contain_text("label")
    assert page.locator("main form").count() == 0

    page = visit.go("drives?q=node-2")
    page.get_by_label("all drives of this page").check()
    page.locator("summary").click()
    page.get_by_role("button", name="Label…").click()
    expect(page.locator("form [role=alert]").last).to_contain_text("labels: write KEY=VALUE")
    page.get_by_label("Labels").fill("tray=blue")
    said = confirmed(planned(page, "Label"))
    assert said.count("labeled") == 3
    assert listed(running, "drives", "-l", "tray=blue").count("node-2") == 3
    expect(visit.go("drives?q=tray%3Dblue").locator("tbody tr")).to_have_count(3)


def test_nothing_is_chosen_is_said(visit: Visit) -> None:
    page = visit.go("drives")
    page.locator("summary").click()
    page.get_by_role("button", name="Cordon…", exact=True).click()
    expect(page.locator("form [role=alert]").last).to_have_text("target: choose at least one drive")


def test_suspending_needs_the_name_and_is_taken_back(visit: Visit, running: Cluster, picture: Picture) -> None:
    fsuuid = drive_named(visit, "node-2", 1)
    page = planned(visit.go(f"drives/{fsuuid}"), "Suspend")
    name = page.locator("#why-typed strong").inner_text()
    assert name.startswith("node-2/")
    picture(page, "plan")
    for wrong in ("", "node-2", f"{name}x"):
        page.get_by_label("Name").fill(wrong)
        page.locator("main form button").click()
        expect(page.locator("[role=alert]").last).to_have_text(f"type {name} to confirm that its data may be lost")
    assert "Suspended" not in listed(running, "drives", "--all")
    page.get_by_label("Name").fill(name)
    assert "suspended" in confirmed(page)
    expect(visit.go(f"drives/{fsuuid}").locator("#state")).to_contain_text("Suspended")
    confirmed(planned(visit.page, "Resume"))
    assert "Suspended" not in listed(running, "drives", "--all")


def test_a_plan_is_carried_out_once(visit: Visit, running: Cluster) -> None:
    fsuuid = drive_named(visit, "node-1", 1)
    page = planned(visit.go(f"drives/{fsuuid}"), "Uncordon")
    address = page.url
    page.evaluate("window.again = document.querySelector('main form')")
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector("body.alive")
    confirmed(page)
    with other.expect_response(lambda answer: answer.request.method == "POST") as answered:
        other.locator("main form button").click()
    assert answered.value.status == 409
    expect(other.locator("[role=alert]").last).to_contain_text("carried out already")
    other.reload()
    other.locator("main").get_by_role("link", name="Work").click()
    expect(other.locator("h1")).to_have_text("Work")
    other.close()


def test_a_volume_is_labelled_suspended_resumed_and_moved_with_its_data(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    page = visit.go("volumes/pvc-hostile")
    page.get_by_label("Labels").fill("app=shop")
    confirmed(planned(page, "Label"))
    expect(visit.go("volumes/pvc-hostile").locator("#facts")).to_contain_text("app=shop")
    page = planned(visit.page, "Suspend")
    page.get_by_label("Name").fill("pvc-hostile")
    confirmed(page)
    expect(visit.go("volumes/pvc-hostile").locator("#state")).to_contain_text("suspended")
    confirmed(planned(visit.page, "Resume"))
    before = visit.go("volumes/pvc-hostile").locator("#state .id").inner_text()
    page = planned(visit.page, "Move")
    expect(page.locator(".log")).to_contain_text("Volume pvc-hostile (64 MiB) would be moved")
    said = confirmed(page, within=3 * MS)
    assert "Volume pvc-hostile is on drive" in said
    expect(visit.go("volumes/pvc-hostile").locator("#state .id")).not_to_have_text(before)


def test_a_drive_is_checked_and_one_in_use_is_refused_with_the_reason(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    used = visit.go("volumes/pvc-used").locator("#state .id").inner_text()
    page = planned(visit.go(f"drives/{used}"), "Check")
    expect(page.locator(".log")).to_contain_text("1 volumes on it")
    said = confirmed(page, "failed")
    assert "pvc-used" in said
    page = visit.go("drives?q=0%20node-2")
    free = next(each for each in running.volume_dirs() if not running.volume_dirs()[each])
    said = confirmed(planned(visit.go(f"drives/{free}"), "Check"), within=3 * MS)
    assert "Clean" in said
    expect(visit.go(f"drives/{free}").locator("#state")).to_contain_text("Ready")


def test_a_drive_with_volumes_is_not_removed_an_empty_one_is_and_becomes_one_again(
    visit: Visit, running: Cluster, volumes: list[str], picture: Picture
) -> None:
    used = visit.go("volumes/pvc-used").locator("#state .id").inner_text()
    page = planned(visit.go(f"drives/{used}"), "Remove")
    expect(page.locator("h2")).to_have_text("It cannot be done")
    expect(page.locator(".log .bad").first).to_contain_text("volume")
    free = next(each for each in running.volume_dirs() if not running.volume_dirs()[each])
    page = planned(visit.go(f"drives/{free}"), "Remove")
    expect(page.locator(".log")).to_contain_text("would be removed")
    confirmed(page, within=3 * MS)
    assert free not in listed(running, "drives", "--all")
    initialised(visit, running, picture)


def initialised(visit: Visit, running: Cluster, picture: Picture) -> None:
    """Make the removed drive's device a drive again: it carries what the drive left."""
    page = visit.go("discover")
    page.get_by_role("button", name="Look for devices on all nodes").click()
    expect(page.locator("tbody tr").first).to_be_visible(timeout=2 * MS)
    accessible(page)
    picture(page, "discover")
    assert page.locator("tbody tr", has_text="No: ").count() >= 5
    chosen = page.locator("tbody input[name=target]")
    expect(chosen).to_have_count(1)
    name = chosen.get_attribute("aria-label")
    assert name is not None
    page.get_by_label("all that are blank").check()
    assert not chosen.is_checked()  # what carries something is chosen by hand
    chosen.check()
    page = planned(page, "Initialise")
    expect(page.locator(".log")).to_contain_text(re.compile("carries xfs.*; all of it is lost"))
    page.get_by_label("Name").fill(name)
    said = confirmed(page, within=3 * MS)
    picture(page, "work")
    assert "Success" in said
    assert listed(running, "drives", "--all").count("Ready") == 6


def test_a_lost_drive_goes_with_its_volumes_by_its_name_and_the_keyboard_alone(running: Cluster, visit: Visit) -> None:
    async def make() -> str:
        async with running.csi() as client:
            asked = creation("pvc-doomed", 32 * MIB)
            volume = (await client.controller.CreateVolume(asked)).volume
            return str(volume.volume_context["directpv.min.io/drive"])

    fsuuid = in_thread(lambda: asyncio.run(make()))
    device = device_of(running, fsuuid)
    file = pull(running, device)
    page = visit.go(f"drives/{fsuuid}")
    expect(page.locator("#state .items")).to_contain_text("Lost", timeout=2 * MS)
    tab_to(page, "Remove with its volumes…")
    page.keyboard.press("Enter")
    page.wait_for_url("**/plans/*")
    expect(page.locator(".log")).to_contain_text("pvc-doomed")
    expect(page.get_by_label("Name")).to_be_focused()
    name = page.locator("#why-typed strong").inner_text()
    assert name.rpartition("/")[2] == fsuuid[:8]
    page.wait_for_selector("body.alive")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    expect(page.locator("#work [role=status]")).to_contain_text("done", timeout=2 * MS)
    expect(page.locator("#work")).to_contain_text("removed with 1 volume")
    assert fsuuid not in listed(running, "drives", "--all")
    assert "pvc-doomed" not in listed(running, "volumes", "--all")
    disks.command("losetup", f"/dev/{device}", file)


def tab_to(page: Page, text: str) -> None:
    """Press Tab until what has this text has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"{text} is not reached by the keyboard")


def test_a_node_that_is_there_is_not_removed(visit: Visit) -> None:
    page = planned(visit.go("nodes/node-1"), "Remove the node")
    expect(page.locator("h2")).to_have_text("It cannot be done")


def test_all_work_is_listed(visit: Visit) -> None:
    page = visit.go("jobs")
    expect(page.locator("tbody tr").first).to_be_visible()
    accessible(page)
    page.locator("tbody a").first.click()
    page.wait_for_url("**/jobs/*")
    page.get_by_role("link", name="All work of this console").click()
    expect(page.locator("h1")).to_have_text("Work")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "action: there is no such action"),
        ("action=rm", "action: there is no such action"),
        ("action=cordon", "target: choose at least one drive"),
        ("action=cordon&target=no-such", "target: there is no drive no-such any more"),
        ("action=init&target=node-1+x", "target: there is no device node-1 x any more"),
        ("action=remove+node&target=node-1&target=node-2", "target: choose 1 at most"),
        ("action=remove&target=x&wipe=all", "wipe: 'all' is none of"),
        ("%ff", "the form cannot be understood"),
        ("x" * (2 << 20), "the form is too long"),
    ],
)
def test_a_form_that_is_none_of_ours_is_refused_in_a_line(visit: Visit, served: Console, body: str, said: str) -> None:
    status, answer = post(visit, served, "plans", body)
    assert (status, said in answer) == (400, True), answer


def post(visit: Visit, served: Console, path: str, body: str) -> tuple[int, str]:
    """Send a form as the page's script does."""
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in served.state["cookies"])
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=WITHIN)
    headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{served.port}"}
    try:
        connection.request("POST", visit.root.partition(str(served.port))[2] + path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
