"""Takes pictures of the site, ``make pictures``: one page of each kind, light and dark, on a screen and a phone, into build/pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
#: Start, tutorial, guide, checklist, runbook, what is behind it, figures, reference, API.
KINDS = (
    "index",
    "tutorial",
    "handlers",
    "production",
    "runbook",
    "how-it-works",
    "figures",
    "reference",
    "api/via_state",
)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
SIZES = {"screen": (1280, 900), "phone": (390, 844)}


def shown(browser: Browser, site: Path) -> Iterator[tuple[str, Page]]:
    """Each page in each scheme and size, with its name."""
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
            for kind in KINDS:
                page.goto((site / f"{kind}.html").as_uri())
                yield f"{kind.replace('/', '-')}-{scheme}-{size}", page
            page.close()


def main() -> None:
    from tests.cluster.chromium import chromium

    site, target = ROOT / "build" / "docs", ROOT / "build" / "pictures"
    if not site.exists():
        sys.exit("There is no build/docs. First: make docs")
    target.mkdir(exist_ok=True)
    with chromium() as browser:
        for name, page in shown(browser, site):
            page.screenshot(path=target / f"{name}.png")


if __name__ == "__main__":
    main()
