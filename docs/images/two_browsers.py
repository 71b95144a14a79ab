"""Makes two-browsers.png: one counter, in two browsers, on two processes. ``python -m docs.images.two_browsers``"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, expect

from docs.images.album import side_by_side
from docs.images.stage import stage
from tests.cluster.chromium import chromium

PICTURE = Path(__file__).with_name("two-browsers.png")
CLICKS = 7
WINDOW: ViewportSize = {"width": 460, "height": 570}


def main() -> None:
    """Start everything, click, and take the picture."""
    with stage() as (pods, _), chromium() as browser:
        PICTURE.write_bytes(picture(browser, [f"{pod.url}/counter/" for pod in pods]))


def picture(browser: Browser, urls: list[str]) -> bytes:
    """Two windows side by side, after clicks in the second; a PNG."""
    first, second = (
        browser.new_page(viewport=WINDOW, device_scale_factor=2, color_scheme=scheme)
        for scheme in ("light", "dark")
    )
    for page, url in zip((first, second), urls, strict=True):
        page.goto(url)
        expect(page.locator("html")).to_have_attribute("data-via-connection", "online")
    for clicks in range(1, CLICKS + 1):
        second.locator("#press:not([data-via-busy])").get_by_role("button").click()
        for page in (first, second):
            expect(page.locator("output")).to_have_text(str(clicks))
    second.mouse.move(0, 0)
    return side_by_side(browser, [first, second])


if __name__ == "__main__":
    main()
