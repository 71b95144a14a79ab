"""Two browsers, on two web processes, are told each kind once by a third process, whatever carries it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from testproject.servers.redis import Redis
from testproject.servers.secret import secret
from testproject.web_pod import PROJECT, WebPod
from tests.cluster.chromium import chromium

pytestmark = pytest.mark.cluster

SAYS = """
import django
django.setup()
from via_state import live
live.broadcast_notify("Tea is ready", level="warning")
live.broadcast_signals({"price": 7})
live.broadcast_script(live.Script("window.told.push(['script'])"))
live.broadcast_notify("That was all")
"""
LISTEN = """
window.told = [];
document.addEventListener("via:notify", ({ detail }) => window.told.push(["notify", detail.text, detail.level]));
document.addEventListener("via:signal", ({ detail }) => window.told.push(["signal", detail.name, detail.value]));
"""
TOLD = [
    ["notify", "Tea is ready", "warning"],
    ["signal", "price", "7"],
    ["script"],
    ["notify", "That was all", "info"],
]


@pytest.fixture(params=["postgres", "nats", "redis"])
def environment(
    request: pytest.FixtureRequest, postgres_environment: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """What carries broadcasts."""
    found = {**postgres_environment, "DJANGO_SETTINGS_MODULE": "tests.cluster.broadcast_settings"}
    if request.param == "nats":
        port = request.getfixturevalue("nats").port
        found["VIA_NATS_SERVERS"] = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{port}"
    if request.param == "redis":
        server: Redis = request.getfixturevalue("redis")
        password = tmp_path / "redis-password"
        secret(password, server.password)
        found |= {
            "VIA_LAYER": "redis",
            "VIA_REDIS": f"{server.host}:{server.port}",
            "VIA_REDIS_PASSWORD_FILE": str(password),
        }
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def pages(browser: Browser, environment: dict[str, str], tmp_path: Path) -> Iterator[list[Page]]:
    """Of two browsers, one on each process, which keep what they are told."""
    pods = [WebPod(f"pod {number}", tmp_path, environment) for number in (1, 2)]
    with ExitStack() as running:
        for pod in pods:
            running.callback(pod.process.stop)
            pod.start()
        found = []
        for pod in pods:
            context = browser.new_context()
            running.callback(context.close)  # before the processes end, which would send the tabs away in peace
            page = context.new_page()
            page.add_init_script(LISTEN)
            page.goto(f"{pod.url}/banner/")
            expect(page.locator("html")).to_have_attribute("data-via-connection", "online")
            found.append(page)
        yield found


def test_each_kind_is_told_once_in_both_browsers(pages: list[Page], environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", SAYS], check=True, cwd=PROJECT, env={**os.environ, **environment})
    for page in pages:
        expect(page.get_by_text("That was all")).to_be_visible()
        assert page.evaluate("window.told") == TOLD
    pages[0].locator("#id_notice").fill("And this")
    pages[0].locator("#notify button").click()
    for page in pages:
        expect(page.get_by_text("And this")).to_be_visible()
        assert page.evaluate("window.told") == [*TOLD, ["notify", "And this", "info"]]
