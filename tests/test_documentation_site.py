"""The site of the documentation builds without a warning, offline, and answers what people ask it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sphinx.util.inventory import InventoryFile

from docs import versions
from docs.images import site as pictures
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
        [*command, str(ROOT / "docs"), str(folder / "html")],
        env={**os.environ, "VIA_DOCS_VERSION": "main", "VIA_DOCS_VERSIONS": "main 0.2.0 0.1.1"},
        capture_output=True,
        text=True,
        check=False,
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


def test_each_page_names_its_version_and_leads_to_the_others(site: Path) -> None:
    for page, up in (("deploy.html", ""), ("api/via_state.html", "../")):
        text = (site / page).read_text()
        assert re.search(r"<title>.* - via_state \d[^<]*, not released</title>", text)
        assert "<b>main</b>" in text
        for version in ("0.2.0", "0.1.1"):
            assert f'href="{up}../{version}/index.html"' in text


def test_of_each_minor_version_the_newest_patch_is_built_beside_the_working_tree(tmp_path: Path) -> None:
    repository, target = tmp_path / "repository", tmp_path / "sites"

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True)

    repository.mkdir()
    git("init")
    for version in ("0.1.0", "0.1.2", "0.2.0rc1", "0.2.0"):
        (repository / "said").write_text(version)
        git("add", "said")
        git("commit", "--message", version)
        git("tag", f"v{version}")
    (repository / "said").write_text("newer")

    def build(checkout: Path, out: Path, name: str, beside: list[str]) -> None:
        out.mkdir()
        (out / "index.html").write_text(f"{name} {(checkout / 'said').read_text()} {' '.join(beside)}")

    built = versions.build_all(repository, target, build)
    assert built == ["main", "0.2.0", "0.1.2"]
    said = {name: (target / name / "index.html").read_text().split()[:2] for name in built}
    assert said == {"main": ["main", "newer"], "0.2.0": ["0.2.0", "0.2.0"], "0.1.2": ["0.1.2", "0.1.2"]}
    assert 'url=0.2.0/index.html"' in (target / "index.html").read_text()


def test_language_models_find_each_page_and_its_text(site: Path) -> None:
    listed, full = ((site / name).read_text() for name in ("llms.txt", "llms-full.txt"))
    assert listed.startswith("# via_state ")
    assert "> Distributed live state for Django." in listed
    parts = re.findall(r"^## (.*)$", listed, re.MULTILINE)
    assert parts == ["Start", "Guides", "Run it", "Understand", "Reference"]
    pages = re.findall(r"^- \[.+?\]\((.+?\.html)\)", listed, re.MULTILINE)
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= set(pages)
    assert [page for page in pages if not (site / page).exists()] == []
    assert "## ViaHandlerStuck" in full
    assert "{toctree}" not in full


#: How light the ground of an element is, and its text: WCAG's contrast of the two, for the paragraphs and table cells of a page.
CONTRAST = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = light(getComputedStyle(document.body).backgroundColor)
  const texts = [...document.querySelectorAll("article p, article td, article h1")].map(one => light(getComputedStyle(one).color))
  return [ground, Math.min(...texts.map(t => (Math.max(t, ground) + 0.05) / (Math.min(t, ground) + 0.05)))]
}"""


@pytest.mark.browser
def test_each_kind_of_page_can_be_read_in_light_and_dark_on_a_screen_and_a_phone(
    site: Path, browser: Browser
) -> None:
    seen = []
    for name, page in pictures.shown(browser, site):
        ground, contrast = page.evaluate(CONTRAST)
        assert (ground < 0.1) == ("-dark-" in name), name
        assert contrast >= 7, name
        menu = page.locator("label.nav-overlay-icon").first
        assert menu.is_visible() == name.endswith("phone"), name
        assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)"), name
        assert page.screenshot()
        seen.append(name)
    assert len(seen) == len(pictures.KINDS) * len(pictures.SCHEMES) * len(pictures.SIZES)
