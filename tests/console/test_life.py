"""The life of a drive in the browser: found, mended, emptied, wiped; and a move that somebody thinks better of."""

import re

from playwright.sync_api import Page, expect

from console.acting import confirmed, listed, planned
from console.conftest import MS, Visit
from support.cluster import Cluster


def empty(running: Cluster, node: str) -> str:
    """Return the id of a drive of the node without volumes."""
    held = running.volume_dirs()
    rows = listed(running, "drives", "--all", "--no-headers").splitlines()
    return next(each for row in rows if node in row for each in held if each in row and not held[each])


def named(page: Page) -> Page:
    """Type what a plan asks for."""
    page.get_by_label("Name").fill(page.locator("#why-typed strong").inner_text())
    return page


def test_a_disk_whose_bay_has_no_light_is_said_to_have_none_before_anything_is_asked(
    visit: Visit, running: Cluster
) -> None:
    drive = empty(running, "node-1")
    for button in ("Locate", "Light off"):
        page = planned(visit.go(f"drives/{drive}"), button)
        expect(page.locator("h2")).to_have_text("It cannot be done")
        expect(page.locator(".log .bad").first).to_contain_text("the kernel shows no locate light")


def test_a_drive_is_repaired_and_what_throws_a_log_away_needs_its_name(visit: Visit, running: Cluster) -> None:
    drive = empty(running, "node-1")
    assert "Clean" in confirmed(planned(visit.go(f"drives/{drive}"), "Repair"), within=3 * MS)
    page = visit.go(f"drives/{drive}")
    page.get_by_label("throw away a log").check()
    page = planned(page, "Repair")
    page.locator("main form button").click()
    expect(page.locator("[role=alert]").last).to_contain_text("to confirm that its data may be lost")
    assert "Clean" in confirmed(named(page), within=3 * MS)
    expect(visit.go(f"drives/{drive}").locator("#state")).to_contain_text("Ready")


def test_a_move_that_waits_for_a_pod_is_cancelled_and_the_volume_stays(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    place = visit.go("volumes/pvc-used").locator("#state .id").inner_text()
    page = planned(visit.page, "Move")
    page.locator("main form button").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("#work")).to_contain_text("copied but for the last pass", timeout=2 * MS)
    said = confirmed(planned(visit.go("volumes/pvc-used"), "Cancel the move"), within=2 * MS)
    assert "pvc-used" in said
    expect(visit.go("volumes/pvc-used").locator("#state .id")).to_have_text(place)
    assert [each for each, held in running.volume_dirs().items() if "pvc-used" in held] == [place]


def test_a_drive_is_emptied_and_takes_volumes_again_with_others(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    drive = visit.go("volumes/pvc-hostile").locator("#state .id").inner_text()
    others = visit.go("volumes/pvc-used").locator("#state .id").inner_text()
    assert drive != others
    page = planned(visit.go(f"drives/{drive}"), "Move all volumes away")
    expect(page.locator(".log")).to_contain_text("pvc-hostile")
    confirmed(page, within=3 * MS)
    assert running.volume_dirs()[drive] == []
    expect(visit.go("volumes/pvc-hostile").locator("#state .id")).not_to_have_text(drive)
    assert listed(running, "drives", "--all").count("SchedulingDisabled") == 1
    page = visit.go("drives?sort=name")
    page.get_by_label("all drives of this page").check()
    page.locator("summary").click()
    said = confirmed(planned(page, "Uncordon"))
    assert len(re.findall(r"uncordoned", said)) >= 1
    assert "SchedulingDisabled" not in listed(running, "drives", "--all")


def test_a_removed_drive_is_wiped_when_its_name_was_typed_and_its_device_is_blank_then(
    visit: Visit, running: Cluster
) -> None:
    drive = empty(running, "node-2")
    page = visit.go(f"drives/{drive}")
    page.get_by_label("Wipe").select_option("zero")
    page = planned(page, "Remove")
    expect(page.locator(".log")).to_contain_text("would be removed")
    confirmed(named(page), within=3 * MS)
    assert drive not in listed(running, "drives", "--all")
    page = visit.go("discover")
    page.get_by_role("button", name="Look for devices on all nodes").click()
    expect(page.locator("tbody tr").first).to_be_visible(timeout=2 * MS)
    page.get_by_label("all that are blank").check()
    chosen = page.locator("tbody input[name=target]:checked")
    expect(chosen).to_have_count(1)
    expect(chosen).to_have_attribute("aria-label", re.compile("^node-2/"))


def test_a_node_that_has_gone_for_good_is_removed_with_all_that_was_on_it_by_its_name(
    visit: Visit, running: Cluster, volumes: list[str]
) -> None:
    """Last: the stack has one node less then."""
    running.kill("nodeagent-node-2")
    page = visit.go("nodes/node-2")
    expect(page.locator("main")).to_contain_text("Offline", timeout=3 * MS)
    page = planned(page, "Remove the node")
    confirmed(named(page), within=3 * MS)
    assert "node-2" not in listed(running, "drives", "--all")
