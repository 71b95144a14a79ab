"""From an append in one process to a painted page that another process serves, in Chromium."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from playwright.sync_api import Browser, Page
from websockets.sync.server import ServerConnection, serve

from benchmarks.harness import Benchmark
from testproject.counter.state import Counter, Tick
from testproject.servers.ports import HOST, free_port
from testproject.web_pod import PROJECT, WebPod
from tests.cluster.chromium import chromium
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.pod.pod import Pod

APPENDS = 30
#: Notes when the browser has painted a change of an element, in milliseconds since 1970.
WATCH = """selector => {
  window.painted = [];
  const element = document.querySelector(selector);
  new MutationObserver(() => requestAnimationFrame(() =>
    window.painted.push([element.textContent, performance.timeOrigin + performance.now()]))
  ).observe(element, { childList: true, characterData: true, subtree: true });
}"""


def _painted(page: Page, text: str) -> float:
    """When the page had painted this text. Raises TimeoutError."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for shown, at in page.evaluate("window.painted"):
            if shown == text:
                return float(at)
    raise TimeoutError(
        f"{text!r} was not painted, but {page.evaluate('window.painted')[-3:]}: {page.content()[-2000:]}"
    )


@contextmanager
def _site(environment: dict[str, str]) -> Iterator[WebPod]:
    """A process that serves the demo's pages."""
    with tempfile.TemporaryDirectory(prefix="via-state-bench-") as folder:
        variables = {**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings", **environment}
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=PROJECT, env=variables, check=True)
        pod = WebPod("pod", Path(folder), environment)
        try:
            pod.start()
            yield pod
        finally:
            pod.process.stop()


def _append_to_paint(environment: dict[str, str], backplane: Callable[[], Backplane]) -> float:
    """The median of milliseconds."""
    with ExitStack() as stack:
        served = stack.enter_context(_site(environment))
        browser: Browser = stack.enter_context(chromium())
        page = browser.new_page()
        page.goto(f"{served.url}/counter/")
        page.wait_for_selector("html[data-via-connection=online]")
        page.evaluate(WATCH, "#total [data-via]")
        pod = Pod(backplane())
        total, found = Counter.total.using(pod), []
        try:
            before = pod.thread.call(_value(total))
            for number in range(APPENDS):
                time.sleep(0.1)  # the page's pace allows 20 a second
                began = time.time() * 1000
                pod.thread.call(total.aappend(Tick()))
                found.append(_painted(page, str(before + number + 1)) - began)
        finally:
            pod.thread.call(pod.aclose())
        return statistics.median(found)


async def _value(total: Any) -> int:
    return int(await total.aread())


def _echo_to_paint() -> float:
    """Raw: a WebSocket of a bare server, whose messages a script puts into an element."""
    sockets: list[ServerConnection] = []

    def hold(socket: ServerConnection) -> None:
        sockets.append(socket)
        for _ in socket:
            pass

    port, found = free_port(), []
    with serve(hold, HOST, port, compression=None) as server, chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_content("<p>0</p>")
        page.evaluate(WATCH, "p")
        page.evaluate(
            f"() => {{ new WebSocket('ws://{HOST}:{port}/').onmessage = ({{ data }}) => "
            "document.querySelector('p').textContent = data }"
        )
        while not sockets:
            time.sleep(0.01)
        for number in range(APPENDS):
            time.sleep(0.1)
            began = time.time() * 1000
            sockets[0].send(str(number + 1))
            found.append(_painted(page, str(number + 1)) - began)
    return statistics.median(found)


def benchmarks() -> list[Benchmark]:
    # Wake-ups are keyed with it: a process with another one hears of nothing before its next sweep.
    database = {"VIA_DATABASE_PORT": os.environ["VIA_DATABASE_PORT"], "VIA_SECRET_KEY": settings.SECRET_KEY}
    servers = os.environ["VIA_BENCH_NATS"]
    options = {"DATABASE": "default", "PREFIX": "via"}
    note = f"append in one process until Chromium painted what another one served, {APPENDS} times; raw: a bare WebSocket"
    over_postgres = functools.partial(_append_to_paint, database, lambda: PostgresBackplane(options))
    over_nats = functools.partial(
        _append_to_paint,
        {**database, "VIA_NATS_SERVERS": servers},
        lambda: NatsBackplane({**options, "SERVERS": servers}),
    )
    return [
        Benchmark("paint-postgres", "ms", over_postgres, _echo_to_paint, note, lower_is_better=True, rounds=3),
        Benchmark("paint-nats", "ms", over_nats, _echo_to_paint, note, lower_is_better=True, rounds=3),
    ]
