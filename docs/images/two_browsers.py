"""Makes two-browsers.png: one counter, in two browsers, on two processes. ``python -m docs.images.two_browsers``"""

from __future__ import annotations

import base64
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect

from docs.images.stage import stage
from tests.cluster.chromium import chromium

PICTURE = Path(__file__).with_name("two-browsers.png")
CLICKS = 7
WINDOW: ViewportSize = {"width": 460, "height": 570}
FRAME = """<!doctype html>
<style>
  body {{ margin: 0; padding: 28px; display: flex; align-items: start; gap: 24px; background: #dfe8e5; font: 13px system-ui, sans-serif; }}
  figure {{ margin: 0; border-radius: 10px; overflow: hidden; box-shadow: 0 8px 28px #0b2b2433; background: #fff; }}
  figcaption {{ padding: 8px 12px; background: #eef2f0; color: #45524d; display: flex; gap: 6px; align-items: center; }}
  i {{ width: 10px; height: 10px; border-radius: 50%; background: #c3cdc9; }}
  b {{ flex: 1; margin-left: 8px; padding: 3px 12px; border-radius: 12px; background: #fff; font-weight: 400; }}
  img {{ display: block; width: 460px; }}
</style>
{windows}
"""
ONE = "<figure><figcaption><i></i><i></i><i></i><b>{url}</b></figcaption><img src='data:image/png;base64,{png}'></figure>"


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
        second.get_by_role("button", name="Add one").click()
        for page in (first, second):
            expect(page.locator("output")).to_have_text(str(clicks))
    second.mouse.move(0, 0)
    windows = [ONE.format(url=url, png=_photo(page)) for url, page in zip(urls, (first, second), strict=True)]
    album = browser.new_page(viewport={"width": 1000, "height": 400}, device_scale_factor=2)
    album.set_content(FRAME.format(windows="".join(windows)), wait_until="networkidle")
    return album.screenshot(full_page=True)


def _photo(page: Page) -> str:
    return base64.b64encode(page.screenshot()).decode()


if __name__ == "__main__":
    main()
