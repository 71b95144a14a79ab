"""Two web processes over PostgreSQL show the same state: to scripts, to browsers, and after a crash of both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from testproject.servers.waiting import wait_until
from testproject.web_pod import WebPod
from tests.cluster.chromium import chromium
from tests.cluster.script import Script

pytestmark = pytest.mark.cluster

PAGES = ("/", "/counter/", "/chat/", "/chat/policy/", "/orders/", "/jobs/", "/banner/", "/profile/")


@pytest.fixture(scope="module")
def pods(postgres_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[WebPod]]:
    """Two web processes, running."""
    folder: Path = tmp_path_factory.mktemp("pods")
    pods = [WebPod(f"pod {number}", folder, postgres_environment) for number in (1, 2)]
    with ExitStack() as running:
        for pod in pods:
            running.callback(pod.process.stop)
            pod.start()
        yield pods


@pytest.fixture(scope="module")
def urls(pods: list[WebPod]) -> tuple[str, str]:
    return pods[0].url, pods[1].url


@pytest.fixture(scope="module")
def browser(pods: list[WebPod]) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A browser with a session of its own."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def other_visitor(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def open_page(visitor: BrowserContext, url: str) -> Page:
    """A page that is connected, and marked so that `was_reloaded` can tell."""
    page = visitor.new_page()
    page.goto(url)
    expect_connection(page, "online")
    page.evaluate("window.opened = true")
    return page


def was_reloaded(page: Page) -> bool:
    return page.evaluate("window.opened") is not True


def expect_connection(page: Page, state: str) -> None:
    expect(page.locator("html")).to_have_attribute("data-via-connection", state)


# Scripts ------------------------------------------------------------------------------------------------------


def test_the_pods_are_two_processes(urls: tuple[str, str]) -> None:
    assert len({Script().get(f"{url}/counter/")["pod"] for url in urls}) == 2


def test_a_click_on_one_pod_counts_on_the_other(urls: tuple[str, str]) -> None:
    script = Script()
    before = script.get(f"{urls[1]}/counter/")

    clicked = script.post(f"{urls[0]}/counter/")

    assert (clicked["value"], clicked["offset"]) == (before["value"] + 1, before["offset"] + 1)
    wait_until(lambda: script.get(f"{urls[1]}/counter/")["offset"] >= clicked["offset"], "convergence")
    assert script.get(f"{urls[1]}/counter/")["value"] == clicked["value"]


def test_what_is_said_on_one_pod_is_heard_on_the_other(urls: tuple[str, str]) -> None:
    script = Script()
    script.post(f"{urls[0]}/profile/", name="Ada")

    said = script.post(f"{urls[0]}/chat/scripts/", text="hello")["value"]

    assert said[-1] == {"author": "Ada", "text": "hello", "note": False}
    wait_until(lambda: script.get(f"{urls[1]}/chat/scripts/")["value"] == said, "convergence")


def test_the_banner_set_on_one_pod_shows_on_the_other(urls: tuple[str, str]) -> None:
    script = Script()
    script.get(f"{urls[1]}/banner/")  # the other pod has a copy already

    script.post(f"{urls[0]}/banner/", text="Tea is ready")

    wait_until(lambda: script.get(f"{urls[1]}/banner/")["value"] == "Tea is ready", "convergence")


def test_a_session_has_one_profile_on_both_pods(urls: tuple[str, str]) -> None:
    script = Script()
    for name in ("Ada", "Grace"):
        script.post(f"{urls[0]}/profile/", name=name)
        wait_until(lambda: script.get(f"{urls[1]}/profile/")["value"] == {"name": name}, "convergence")  # noqa: B023

    assert Script().get(f"{urls[1]}/profile/")["value"] == {"name": ""}


def test_bad_input_is_refused(urls: tuple[str, str]) -> None:
    with pytest.raises(HTTPError, match="400"):
        Script().post(f"{urls[0]}/chat/scripts/", text="")


# Browsers -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_page_sees_a_click_made_on_the_other_pod(
    urls: tuple[str, str], visitor: BrowserContext, other_visitor: BrowserContext
) -> None:
    watching = open_page(visitor, f"{urls[0]}/counter/")
    clicking = open_page(other_visitor, f"{urls[1]}/counter/")
    total = int(clicking.locator("output").inner_text())

    for clicks in (1, 2):
        clicking.get_by_role("button", name="Add one").click()
        expect(watching.locator("output")).to_have_text(str(total + clicks))
        expect(clicking.locator("output")).to_have_text(str(total + clicks))

    assert not was_reloaded(watching)
    assert not was_reloaded(clicking)


@pytest.mark.browser
def test_people_on_both_pods_talk_to_each_other(
    urls: tuple[str, str], visitor: BrowserContext, other_visitor: BrowserContext
) -> None:
    ada = open_page(visitor, f"{urls[0]}/chat/parlour/")
    guest = open_page(other_visitor, f"{urls[1]}/chat/parlour/")

    ada.get_by_role("textbox").fill("<b>Hello</b>")
    ada.get_by_role("button", name="Send").click()
    expect(guest.get_by_role("log").get_by_role("listitem")).to_have_text(["guest <b>Hello</b>"])
    expect(ada.get_by_role("textbox")).to_have_value("")

    guest.get_by_role("button", name="Join").click()
    expect(ada.get_by_role("log").get_by_role("listitem")).to_have_text(["guest <b>Hello</b>", "guest joined"])
    assert not was_reloaded(ada)
    assert not was_reloaded(guest)


@pytest.mark.browser
def test_the_tabs_of_one_browser_share_their_profile_from_the_first_write_on(
    urls: tuple[str, str], visitor: BrowserContext
) -> None:
    first, second = (open_page(visitor, f"{url}/profile/") for url in urls)

    for name in ("Ada", "Grace"):
        first.get_by_role("textbox").fill(name)
        first.get_by_role("button", name="Save").click()
        for tab in (first, second):
            expect(tab.locator("output")).to_have_text(name)
            assert not was_reloaded(tab)


@pytest.mark.browser
def test_a_refused_message_says_why_until_one_is_sent_and_leaves_the_page_alone(
    urls: tuple[str, str], visitor: BrowserContext
) -> None:
    page = open_page(visitor, f"{urls[0]}/chat/refused/")

    page.get_by_role("textbox").fill("   ")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#say .errorlist")).to_have_text("Write something: an empty message is not sent.")
    expect(page.get_by_role("textbox")).to_be_focused()
    expect(page.locator("#lines")).to_have_text("Nobody has said anything yet.")

    page.get_by_role("textbox").fill("hello")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(["guest hello"])
    expect(page.locator("#say .errorlist")).to_have_count(0)
    expect(page.get_by_role("textbox")).to_have_value("")
    expect(page.get_by_role("textbox")).not_to_have_attribute("aria-invalid", "true")
    assert not was_reloaded(page)


@pytest.mark.browser
def test_pages_work_without_javascript(urls: tuple[str, str], browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()

    page.goto(f"{urls[0]}/chat/quiet/")
    page.get_by_role("textbox").fill("hello")
    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(["guest hello"])
    expect(page.locator("footer .connection")).to_be_hidden()
    page.get_by_role("textbox").fill("  ")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#say .errorlist")).to_have_text("Write something: an empty message is not sent.")

    page.goto(f"{urls[0]}/profile/")
    page.get_by_role("textbox").fill("Ada")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("output")).to_have_text("Ada")
    page.goto(f"{urls[1]}/chat/quiet/")
    expect(page.locator(".badge")).to_have_text("You are Ada")
    context.close()


@pytest.mark.browser
def test_a_draft_and_the_focus_stay_while_others_talk(
    urls: tuple[str, str], visitor: BrowserContext, other_visitor: BrowserContext
) -> None:
    writing = open_page(visitor, f"{urls[0]}/chat/drafts/")
    talking = open_page(other_visitor, f"{urls[1]}/chat/drafts/")
    field = writing.get_by_role("textbox")
    field.fill("half a sente")
    field.press("Home")

    for text in ("one", "two"):
        talking.get_by_role("textbox").fill(text)
        talking.get_by_role("textbox").press("Enter")
        expect(writing.get_by_role("log").get_by_role("listitem").filter(has_text=f"guest {text}")).to_be_visible()
        expect(talking.get_by_role("textbox")).to_have_value("")

    expect(field).to_be_focused()
    expect(field).to_have_value("half a sente")
    assert field.evaluate("field => field.selectionStart") == 0


@pytest.mark.browser
def test_a_line_shows_before_the_server_has_answered(urls: tuple[str, str], visitor: BrowserContext) -> None:
    page = open_page(visitor, f"{urls[0]}/chat/slow/")
    waiting: list[Route] = []
    page.route("**/chat/slow/", lambda route: waiting.append(route))

    page.get_by_role("textbox").fill("hello")
    page.get_by_role("button", name="Send").click()
    ghost = page.locator("#lines [data-via-ghost=sent]")
    expect(ghost).to_have_text("guest hello")

    waiting[0].continue_()
    expect(ghost).to_have_count(0)
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(["guest hello"])


@pytest.mark.browser
def test_a_notice_is_shown_in_the_pages_of_both_pods(
    urls: tuple[str, str], visitor: BrowserContext, other_visitor: BrowserContext
) -> None:
    desk = open_page(visitor, f"{urls[0]}/banner/")
    elsewhere = open_page(other_visitor, f"{urls[1]}/counter/")

    desk.get_by_label("Notice").fill("<b>Tea</b> is ready")
    desk.get_by_role("button", name="Tell everybody").click()

    for page in (desk, elsewhere):
        expect(page.get_by_role("status").filter(has_text="<b>Tea</b> is ready")).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_the_window(urls: tuple[str, str], browser: Browser, width: int) -> None:
    page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
    for path in PAGES:
        page.goto(f"{urls[0]}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.browser
def test_on_paper_there_are_no_controls_and_what_may_be_old_says_so(
    urls: tuple[str, str], visitor: BrowserContext
) -> None:
    page = visitor.new_page()
    after = "(place) => getComputedStyle(place, '::after').content"
    before = "getComputedStyle(document.querySelector('main'), '::before').content"
    for path in PAGES:
        page.goto(f"{urls[0]}{path}")
        expect_connection(page, "online")
        page.emulate_media(media="print")
        for control in page.locator("button, input, select, textarea, nav a, [data-via-toasts]").all():
            expect(control).to_be_hidden()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate(before) == "none", "what is followed is as new as paper can be"
        page.emulate_media(media="screen")
    page.goto(f"{urls[0]}/orders/")
    expect_connection(page, "online")
    place = page.locator("h2 output[data-via]")
    page.emulate_media(media="print")
    assert place.evaluate(after) == "none"
    place.evaluate("(place) => { place.dataset.viaStale = '' }")
    assert place.evaluate(after) == '" (may be old)"'
    assert place.evaluate("(place) => getComputedStyle(place).opacity") == "1", "paper is read in any light"
    visitor.set_offline(True)
    expect_connection(page, "offline")
    assert "may be old" in page.evaluate(before)
    assert page.pdf()[:5] == b"%PDF-"


@pytest.mark.browser
def test_no_page_breaks_its_own_security_policy(urls: tuple[str, str], visitor: BrowserContext) -> None:
    complaints: list[str] = []
    page = visitor.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    for path in (*PAGES, "/admin/login/"):
        page.goto(f"{urls[0]}{path}", wait_until="networkidle")
    page.goto(f"{urls[0]}/chat/policy/")
    expect_connection(page, "online")
    for text in (" ", "<b onclick=alert()>hello</b>"):  # one that is refused, and one that is not
        page.get_by_role("textbox").fill(text)
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#say .errorlist")).to_have_count(0 if text.strip() else 1)
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(["guest <b onclick=alert()>hello</b>"])

    page.goto(f"{urls[0]}/orders/")
    page.locator("#correct").get_by_label("Order").press_sequentially("nope")  # which is asked while it is typed
    expect(page.locator("#correct .errorlist")).to_have_text("The book has no such order.")
    expect(page.locator("#correct").get_by_label("Order")).to_have_value("nope")

    assert [text for text in complaints if "404" not in text and "400" not in text] == []  # the admin has no icon


@pytest.mark.browser
def test_after_a_crash_of_both_pods_the_value_is_there_and_open_pages_continue(
    pods: list[WebPod], urls: tuple[str, str], visitor: BrowserContext
) -> None:
    script = Script()
    script.post(f"{urls[1]}/counter/")
    total = script.post(f"{urls[0]}/counter/")["value"]
    page = open_page(visitor, f"{urls[0]}/counter/")
    expect(page.locator("output")).to_have_text(str(total))

    for pod in pods:
        pod.process.kill()
    expect(page.locator("html")).to_have_attribute("data-via-connection", re.compile("offline|connecting"))
    for pod in pods:
        pod.start()

    assert [script.get(f"{url}/counter/")["value"] for url in urls] == [total, total]
    expect_connection(page, "online")
    script.post(f"{urls[1]}/counter/")
    expect(page.locator("output")).to_have_text(str(total + 1))
    assert not was_reloaded(page)
