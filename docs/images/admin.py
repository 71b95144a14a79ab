"""Makes orders.png and admin-*.png: what a visitor and an operator see of failures. ``python -m docs.images.admin``"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect

from docs.images.stage import stage
from testproject.web_pod import PROJECT
from tests.cluster.chromium import chromium
from tests.cluster.script import Script

FOLDER = Path(__file__).parent
WINDOW: ViewportSize = {"width": 1280, "height": 700}
PRESSES = 70  # more than there are between two snapshots
# Where the project is on the machine that takes the pictures is nobody's business.
_ELSEWHERE = """
folder => document.querySelectorAll("pre").forEach(pre => {
    pre.textContent = pre.textContent.replaceAll(folder, "/srv/shop");
})
"""


def main() -> None:
    """Make a record stick and others dead letters, and take the pictures."""
    with stage() as (pods, password), chromium() as browser:
        visitor = _page(browser)
        visitor.goto(f"{pods[0].url}/orders/")
        expect(visitor.locator("html")).to_have_attribute("data-via-connection", "online")
        for _ in range(PRESSES):
            Script().post(f"{pods[0].url}/counter/")
        fail(visitor)
        _take(visitor, "orders", height=1400)
        operator = _page(browser)
        operator.goto(f"{pods[1].url}/admin/via_state/")
        operator.get_by_label("Username").fill("admin")
        operator.get_by_label("Password").fill(password)
        operator.get_by_role("button", name="Log in").click()
        look_around(operator, f"{pods[1].url}/admin/via_state/")


def fail(visitor: Page) -> None:
    """Two orders are shipped, two given up, one is tried again and again, and one waits after it."""
    orders = [
        ("Teapot", "1 High Street", "shipped"),
        ("Kettle", "Nowhere", "set aside"),
        ("Cups, six", "2 High Street", "shipped"),
        ("Sugar bowl", "nowhere", "set aside"),
    ]
    for item, address, status in orders:
        _order(visitor, item, address)
        line = visitor.locator("tbody tr").filter(has_text=item)
        expect(line.locator(".status")).to_contain_text(status)
    visitor.get_by_role("button", name="Go on strike").click()
    expect(visitor.locator("h2", has_text="on strike")).to_be_visible()
    _order(visitor, "Milk jug", "3 High Street")
    _order(visitor, "Tray", "4 High Street")
    expect(visitor.locator("tbody tr")).to_have_count(6)


def look_around(operator: Page, admin: str) -> None:
    """The pages of the admin, one after the other."""
    operator.goto(f"{admin}handlerposition/")
    operator.locator("#toggle-nav-sidebar").click()
    while "attempts" not in operator.locator("#result_list").inner_text():  # until it has failed twice
        operator.reload()
    _take(operator, "admin-positions", height=420)
    operator.goto(f"{admin}deadletter/")
    _take(operator, "admin-dead-letters", height=620)
    operator.get_by_role("link", name="Placed").first.click()
    _take(operator, "admin-letter", height=1100)
    operator.get_by_role("link", name="Replay").click()
    _take(operator, "admin-replay", height=420)
    for name, height in {"eventhandler": 380, "snapshotrow": 420}.items():
        operator.goto(f"{admin}{name}/")
        _take(operator, f"admin-{name}", height=height)


def _order(visitor: Page, item: str, address: str) -> None:
    visitor.get_by_label("Item").fill(item)
    visitor.get_by_label("Address:", exact=True).fill(address)
    visitor.locator("#order:not([data-via-busy])").get_by_role("button").click()
    expect(visitor.locator("tbody tr").filter(has_text=item)).to_be_visible()


def _page(browser: Browser) -> Page:
    return browser.new_page(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")


def _take(page: Page, name: str, height: int) -> None:
    page.set_viewport_size({"width": WINDOW["width"], "height": height})
    page.evaluate("window.scrollTo(0, 0)")
    page.evaluate(_ELSEWHERE, str(PROJECT))
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
