"""Orders that a worker ships: seen in a browser, repaired in the admin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from testproject.web_pod import PROJECT, WebPod
from testproject.worker import Worker
from tests.cluster.chromium import chromium

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def pods(postgres_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[WebPod]]:
    """Two web processes and a worker, running."""
    folder: Path = tmp_path_factory.mktemp("orders")
    pods = [WebPod(f"pod {number}", folder, postgres_environment) for number in (1, 2)]
    worker = Worker(folder, postgres_environment)
    with ExitStack() as running:
        running.callback(worker.process.stop)
        worker.start()
        for pod in pods:
            running.callback(pod.process.stop)
            pod.start()
        yield pods


@pytest.fixture(scope="module")
def browser(pods: list[WebPod]) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def pages(browser: Browser, pods: list[WebPod]) -> Iterator[list[Page]]:
    """The order book on both pods, connected."""
    found = []
    for pod in pods:
        page = browser.new_context().new_page()
        page.goto(f"{pod.url}/orders/")
        expect(page.locator("html")).to_have_attribute("data-via-connection", "online")
        found.append(page)
    yield found
    for page in found:
        page.context.close()


def order(page: Page, item: str, address: str) -> None:
    page.get_by_label("Item").fill(item)
    page.get_by_label("Address:", exact=True).fill(address)
    # Typed while the order before is on its way perhaps; sent when that has arrived, since one form is sent once at a time.
    page.locator("#order:not([data-via-busy])").get_by_role("button").click()


def expect_status(page: Page, item: str, status: str) -> None:
    line = page.locator("tbody tr").filter(has_text=item)
    expect(line.locator(".status")).to_have_text(status)


def shipments(environment: dict[str, str], item: str) -> int:
    port, name = environment["VIA_DATABASE_PORT"], environment.get("VIA_DATABASE_NAME", "postgres")
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname=name) as database:
        row = database.execute("SELECT count(*) FROM orders_shipment WHERE item = %s", [item]).fetchone()
    assert row is not None
    return int(row[0])


def manage(environment: dict[str, str], *arguments: str) -> str:
    settings = {"DJANGO_SETTINGS_MODULE": "testproject.settings"}
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **settings, **environment}, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    return done.stdout.strip()


def test_an_order_is_shipped_once_and_both_pods_show_it(
    pages: list[Page], postgres_environment: dict[str, str]
) -> None:
    order(pages[0], "One kettle", "1 High Street")
    for page in pages:
        expect_status(page, "One kettle", "shipped")
    assert shipments(postgres_environment, "One kettle") == 1


def test_orders_wait_while_the_carrier_is_on_strike_and_continue_by_themselves(
    pages: list[Page], postgres_environment: dict[str, str]
) -> None:
    pages[0].get_by_role("button", name="Go on strike").click()
    for page in pages:
        expect(page.locator("h2", has_text="The carrier is on strike")).to_be_visible()
    order(pages[1], "Two kettles", "2 High Street")
    order(pages[1], "Three kettles", "3 High Street")
    for item in ("Two kettles", "Three kettles"):
        expect_status(pages[0], item, "ordered")
    pages[1].get_by_role("button", name="Back to work").click()
    for item in ("Two kettles", "Three kettles"):
        expect_status(pages[0], item, "shipped")
        assert shipments(postgres_environment, item) == 1


def test_an_order_that_is_set_aside_is_repaired_and_replayed_in_the_admin(
    pages: list[Page], pods: list[WebPod], postgres_environment: dict[str, str]
) -> None:
    first, second = pages
    order(first, "Four kettles", "Nowhere")
    expect_status(first, "Four kettles", "set aside: no carrier finds 'Nowhere'")
    order(first, "Five kettles", "5 High Street")
    expect_status(first, "Five kettles", "shipped")  # nobody waits for what was given up
    number = first.locator("tbody tr").filter(has_text="Four kettles").locator("th").inner_text()
    first.get_by_label("Order:", exact=True).fill(number)
    first.get_by_label("New address").fill("4 High Street")
    first.get_by_role("button", name="Correct it").click()
    expect(second.locator("tbody tr").filter(has_text="4 High Street")).to_be_visible()

    desk = first.context.new_page()
    desk.goto(f"{pods[1].url}/admin/via_state/deadletter/")
    desk.get_by_label("Username").fill("admin")
    desk.get_by_label("Password").fill(manage(postgres_environment, "demo_admin"))
    desk.get_by_role("button", name="Log in").click()
    desk.get_by_role("link", name="Placed").first.click()
    expect(desk.get_by_text("Four kettles").first).to_be_visible()
    desk.get_by_role("link", name="Replay").click()
    desk.get_by_role("button", name="Yes, replay").click()
    expect(desk.locator(".messagelist .success")).to_be_visible()
    for page in pages:
        expect_status(page, "Four kettles", "shipped")
    assert shipments(postgres_environment, "Four kettles") == 1


def test_a_bar_follows_the_worker_on_both_pods(pages: list[Page], pods: list[WebPod]) -> None:
    for page, pod in zip(pages, pods, strict=True):
        page.goto(f"{pod.url}/jobs/")
    pages[0].get_by_role("textbox").fill("Count the kettles")
    pages[0].get_by_role("button", name="Start it").click()

    for page in pages:
        job = page.locator(".jobs li").filter(has_text="Count the kettles")
        expect(job.locator("progress")).to_have_attribute("value", re.compile(r"^[1-9]\d?$"))
        page.evaluate("window.opened = true")
    for page in pages:
        job = page.locator(".jobs li").filter(has_text="Count the kettles")
        expect(job.locator(".status")).to_have_text("done")
        expect(job.locator("progress")).to_have_attribute("value", "100")
        assert page.evaluate("window.opened")
