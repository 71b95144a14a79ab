"""The overview in a browser: readable in both colour schemes and on a phone, and fresh without a reload."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.admin.office import Office, changelist
from tests.cluster.chromium import chromium
from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database import tables
from via_state.operations.doctor import handlers as judging

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
SIZES: dict[str, ViewportSize] = {"screen": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
#: WCAG 2.2, 1.4.3: what text needs beside its background.
ENOUGH = 4.5
FAINT = """
() => {
    const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => rgb(color).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const under = (element) => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if (rgb(color).length === 3 || rgb(color)[3] === 1) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const found = [];
    const texts = document.createTreeWalker(document.getElementById("via-overview"), NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode());) {
        const element = text.parentElement;
        if (!text.data.trim() || !element.checkVisibility() || element.closest("svg")) continue;
        const pair = [light(getComputedStyle(element).color), light(under(element))].sort((a, b) => b - a);
        const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
        found.push([ratio, text.data.trim()]);
    }
    return found;
}
"""


def signed_in(browser: Browser, office: Office, server: Any, **options: Any) -> Page:
    page = browser.new_page(**options)
    cookie = {"name": "sessionid", "value": office.client.cookies["sessionid"].value, "url": server.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    return page


def test_every_text_can_be_read_in_both_schemes_and_on_a_phone(
    office: Office, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    monkeypatch.setattr(judging, "STUCK", 0.0)
    office.letters(5)
    office.stuck(3, 4)
    with chromium() as browser:
        for scheme in SCHEMES:
            for size in SIZES.values():
                page = signed_in(browser, office, live_server, color_scheme=scheme, viewport=size)
                page.goto(live_server.url + changelist("overview"))
                texts = page.evaluate(FAINT)
                assert len(texts) > 40
                assert [one for one in texts if one[0] < ENOUGH] == [], scheme
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    "it would scroll sideways"
                )
                ground = page.evaluate(
                    "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
                )
                assert (sum(ground) < 3 * 60) == (scheme == "dark")
                page.close()


def test_the_page_looks_again_in_place_while_somebody_looks(
    office: Office, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    office.letters(5)
    with chromium() as browser:
        page = signed_in(browser, office, live_server)
        page.add_init_script(
            "window.away = true; Object.defineProperty(document, 'hidden', { get: () => window.away })"
        )
        page.goto(live_server.url + changelist("overview"))
        expect(page.locator(".via-needs")).to_contain_text("1 dead letter of")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("() => { window.same = true; document.dispatchEvent(new Event('visibilitychange')) }")
        assert asked == [], "nobody looks"
        with ThreadPoolExecutor(
            1
        ) as elsewhere:  # this thread counts as an event loop, with connections of its own
            elsewhere.submit(tables.dead_letters.rows().update, status="discarded").result()
            elsewhere.submit(connections.close_all).result()
        page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')) }")
        expect(page.locator("#via-overview")).not_to_contain_text("1 dead letter of")
        assert page.evaluate("window.same"), "in place"
        assert page.locator("#via-overview").count() == 1
        page.locator("body").press("r")
        expect(page.locator("#via-said")).to_contain_text("Looked again")
        page.locator("body").press("/")
        expect(page.locator("#via-search")).to_be_focused()
        page.keyboard.type("r/?orders")
        expect(page.locator("#via-search")).to_have_value("r/?orders")
        expect(page.locator("#via-keys")).to_be_hidden()
        page.locator("#via-search").blur()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
        page.get_by_label("Keys are on").uncheck()
        page.keyboard.press("Escape")
        page.locator("body").press("/")
        expect(page.locator("#via-search")).not_to_be_focused()
        page.get_by_role("button", name="Keys").click()
        page.get_by_label("Keys are on").check()
        page.get_by_role("button", name="Close").click()
        page.locator("body").press("/")
        page.locator("#via-search").fill("orders")
        page.keyboard.press("Enter")
        expect(page.locator(".via-found")).to_contain_text("dead letter")
        page.goto(live_server.url + changelist("overview"))
        page.evaluate("() => { window.away = false }")
        page.route("**/overview/", lambda route: route.abort())
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#via-old")).to_be_visible()
        expect(page.locator("#via-old")).to_contain_text("could not look again")
