"""Makes demo.png: a chat, a job and an order book that changes, each on a page that follows. ``python -m docs.images.demo``"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect

from docs.images.album import side_by_side
from docs.images.stage import stage
from testproject.web_pod import WebPod
from tests.cluster.chromium import chromium

PICTURE = Path(__file__).with_name("demo.png")
WINDOW: ViewportSize = {"width": 430, "height": 720}


def main() -> None:
    """Start everything, talk, order, and take the picture."""
    with stage() as (pods, _), chromium() as browser:
        PICTURE.write_bytes(picture(browser, pods))


def picture(browser: Browser, pods: list[WebPod]) -> bytes:
    """Three windows side by side; a PNG."""
    ada, grace = _named(browser, pods[0], "Ada", "light"), _named(browser, pods[1], "Grace", "dark")
    for page, pod in ((ada, pods[0]), (grace, pods[1])):
        _open(page, f"{pod.url}/chat/lobby/")
    grace.get_by_role("button", name="Join").click()
    expect(ada.get_by_role("log").get_by_role("listitem")).to_have_text(["Grace joined"])
    for page, text in [
        (grace, "Good morning! Has anybody seen the big teapot?"),
        (ada, "It was on the second shelf yesterday."),
        (grace, "Found it. It is in the kitchen."),
        (ada, "Then tea is at four."),
    ]:
        page.get_by_role("textbox").fill(text)
        page.locator("#say:not([data-via-busy])").get_by_role("button").click()
        for watching in (ada, grace):
            expect(watching.get_by_role("log").get_by_role("listitem").last).to_contain_text(text)
    expect(ada.locator("[data-via-ghost]")).to_have_count(0)
    ada.get_by_role("textbox").press_sequentially("I bring the ca")

    _open(grace, f"{pods[1].url}/orders/")
    grace.get_by_role("button", name="Order 200 things").click()
    expect(grace.locator("tbody .shipped")).not_to_have_count(0)
    grace.get_by_role("button", name="Go on strike").click()
    expect(grace.locator("h2", has_text="on strike")).to_be_visible()
    grace.evaluate("document.querySelector('#fill').scrollIntoView()")
    grace.evaluate("scrollBy(0, -125)")
    # Where those that wait end, and those that were shipped begin.
    grace.evaluate(
        "() => { const box = document.querySelector('.scroller'); "
        "box.scrollTop = document.querySelector('tbody tr:has(.shipped)').offsetTop - 4 * 71 }"
    )

    desk = _named(browser, pods[1], "Joan", "light")
    _open(desk, f"{pods[1].url}/jobs/")
    for what in ("Polish the kettles", "Count the spoons", "Number the cups"):
        desk.get_by_role("textbox").fill(what)
        desk.locator("#start:not([data-via-busy])").get_by_role("button").click()
        expect(desk.locator(".jobs li").first).to_contain_text(what)
    desk.mouse.move(0, 0)
    expect(desk.locator("progress").first).to_have_attribute("value", re.compile("^[3-6].$"))
    return side_by_side(browser, [ada, grace, desk])


def _named(browser: Browser, pod: WebPod, name: str, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_context(
        viewport=WINDOW, device_scale_factor=2, color_scheme=scheme, reduced_motion="reduce"
    ).new_page()
    _open(page, f"{pod.url}/profile/")
    page.get_by_role("textbox").fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("output")).to_have_text(name)
    return page


def _open(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("html")).to_have_attribute("data-via-connection", "online")


if __name__ == "__main__":
    main()
