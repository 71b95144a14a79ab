"""Two browsers on two web processes over NATS: each sees what the other does, and no page complains of its own policy."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testproject.servers.waiting import wait_until
from testproject.web_pod import WebPod
from tests.cluster.chromium import chromium

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


def opened(page: Page, url: str, complaints: list[str]) -> Page:
    """A page that is connected; what its console says is noted."""
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    expect(page.locator("html")).to_have_attribute("data-via-connection", "online")
    return page


@pytest.mark.parametrize("environment", ["nats"], indirect=True)
def test_over_nats_pages_of_two_processes_show_the_same_and_none_complains(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The policy has a nonce and Trusted Types. Over PostgreSQL: `test_two_pods`."""
    pods = [WebPod(f"pod {number}", tmp_path, environment) for number in (1, 2)]
    complaints: list[str] = []
    with ExitStack() as stack:
        for pod in pods:
            stack.callback(pod.process.stop)
            pod.start()
        browser = stack.enter_context(chromium())
        one, other = (
            opened(browser.new_context().new_page(), f"{pod.url}/chat/nats/", complaints) for pod in pods
        )
        for page, text in ((one, "<b onclick=alert()>one</b>"), (other, "two")):
            page.get_by_role("textbox").fill(text)
            page.get_by_role("button", name="Send").click()
        for page in (one, other):
            expect(page.locator("#lines li")).to_have_count(2)
        shown = (
            one.locator("#lines li"),
            other.locator("#lines li"),
        )  # a line of one's own is there before its turn
        wait_until(lambda: shown[0].all_inner_texts() == shown[1].all_inner_texts(), "the same on both pages")
        pods[0].process.kill()
        pods[0].start()
        expect(one.locator("html")).to_have_attribute("data-via-connection", "online")
        other.get_by_role("textbox").fill("three")
        other.get_by_role("button", name="Send").click()
        for page in (one, other):
            expect(page.locator("#lines li").filter(has_text="guest three")).to_be_visible()
    assert [text for text in complaints if "ERR_CONNECTION" not in text and "WebSocket" not in text] == []
