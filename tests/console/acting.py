"""How a person has something done in the console."""

from playwright.sync_api import Page, expect

from console.conftest import MS, Visit
from stack.running import run
from support.cluster import Cluster


def drive_named(visit: Visit, text: str, number: int = 0) -> str:
    """Return the id of a drive that the table finds by these words."""
    page = visit.go(f"drives?q={text}&sort=name")
    return page.locator("tbody .id").nth(number).inner_text()


def planned(page: Page, button: str) -> Page:
    """Ask for a plan."""
    page.get_by_role("button", name=f"{button}…", exact=True).click()
    page.wait_for_url("**/plans/*")
    page.wait_for_selector("body.alive")
    return page


def confirmed(page: Page, state: str = "done", within: float = MS) -> str:
    """Confirm a plan; wait for its end, and return what was said."""
    page.locator("main form button").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("#work [role=status]")).to_contain_text(state, timeout=within)
    return page.locator("#work").inner_text()


def listed(running: Cluster, *words: str) -> str:
    done = run("kubectl-directpv", "list", *words, url=running.stack.nats_url)
    return done.stdout
