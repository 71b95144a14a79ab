"""The site of the documentation builds without a warning, offline, and answers what people ask it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sphinx.util.inventory import InventoryFile

from tests.cluster.chromium import chromium
from tests.test_public import PUBLIC, exported
from via_state import exceptions
from via_state.operations.doctor.catalog import IDS

ROOT = Path(__file__).resolve().parent.parent
#: What somebody who has never seen the project looks for, and the page that answers it.
QUESTIONS = {
    "failover": "postgresql",
    "PostgreSQL restart": "postgresql",
    "proxy WebSocket": "live",
    "page is stale": "live",
    "backup": "backup",
    "upgrade PostgreSQL": "upgrading",
    "cache Celery broker": "fit",
    "connections": "postgresql",
    "PgBouncer": "postgresql",
    "personal data": "security",
    "gunicorn workers": "deploy",
    "rename event": "evolve",
    "change fold": "evolve",
    "changed fold deploy": "evolve",
    "projects one server account": "nats",
    "keep projects apart": "nats",
    "ViaHandlerStuck": "runbook",
    "dead letter": "operate",
    "transaction": "transactions",
    "async": "reads",
    "anonymous session": "sessions",
    "Redis": "channels",
    "pytest": "testing",
    "email once": "handlers",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning, such as one about a link that leads nowhere, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(folder / "doctrees")]
    built = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_every_public_name_has_an_entry_in_the_site(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    listed = {name for kind, entries in inventory.data.items() if kind.startswith("py:") for name in entries}
    assert listed >= set(PUBLIC)
    ends = {name.rpartition(".")[2] for name in listed}
    for module in PUBLIC:
        for name, value in exported(module).items():
            if inspect.isclass(value) or inspect.isfunction(value):
                assert name in ends, f"{module}.{name}"


def test_every_check_finding_and_error_has_an_anchor(site: Path) -> None:
    reference, errors, doctor = (
        (site / page).read_text()
        for page in ("reference.html", "api/via_state.exceptions.html", "troubleshooting.html")
    )
    checks = set(re.findall(r"via_state\.([EW]\d+)", (ROOT / "docs/reference.md").read_text()))
    assert len(checks) > 30
    assert [one for one in checks if reference.count(f'id="via_state.{one}"') != 1] == []
    assert [one for one in IDS if f'id="{one.lower()}"' not in doctor] == []
    assert [one for one in exceptions.__all__ if f'id="via_state.exceptions.{one}"' not in errors] == []


@pytest.mark.browser
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_finds_the_page_that_answers(site: Path, browser: Browser, question: str) -> None:
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q={question}")
    page.locator("#search-results ul.search li a").first.wait_for()
    page.locator(".search-summary", has_text="finished").wait_for()
    found = [link.get_attribute("href") or "" for link in page.locator("#search-results li > a").all()[:5]]
    assert any(f"{QUESTIONS[question]}.html" in link for link in found), found
    page.close()


@pytest.mark.browser
def test_no_page_scrolls_sideways_on_a_phone_or_a_screen(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    for path in sorted(site.glob("*.html")):
        page.goto(path.as_uri())
        for width in (390, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
    page.close()
