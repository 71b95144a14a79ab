"""Windows side by side, as one picture."""

from __future__ import annotations

import base64

from playwright.sync_api import Browser, Page

_FRAME = """<!doctype html>
<style>
  body {{ margin: 0; padding: 28px; display: flex; align-items: start; gap: 24px; background: linear-gradient(160deg, #dcebe6, #e9eef2);
    font: 13px system-ui, sans-serif; }}
  figure {{ margin: 0; border-radius: 12px; overflow: hidden; box-shadow: 0 10px 34px -6px #0b2b2440; background: #fff; }}
  figcaption {{ padding: 8px 12px; background: #eef2f0; color: #45524d; display: flex; gap: 6px; align-items: center; }}
  i {{ width: 10px; height: 10px; border-radius: 50%; background: #c3cdc9; }}
  b {{ flex: 1; margin-left: 8px; padding: 3px 12px; border-radius: 12px; background: #fff; font-weight: 400; }}
  img {{ display: block; }}
</style>
{windows}
"""
_WINDOW = """<figure><figcaption><i></i><i></i><i></i><b>{url}</b></figcaption>
<img width={width} src='data:image/png;base64,{png}'></figure>"""


def side_by_side(browser: Browser, pages: list[Page]) -> bytes:
    """A PNG of what the pages show now, each in a window with its address. The last one is taken first: it may be about to change."""
    photos = {page: base64.b64encode(page.screenshot()).decode() for page in reversed(pages)}
    windows, width = [], 28
    for page in pages:
        size = page.viewport_size
        assert size is not None
        width += size["width"] + 28
        windows.append(_WINDOW.format(url=page.url, png=photos[page], width=size["width"]))
    album = browser.new_page(viewport={"width": width, "height": 400}, device_scale_factor=2)
    album.set_content(_FRAME.format(windows="".join(windows)), wait_until="networkidle")
    return album.screenshot(full_page=True)
