"""Makes overview-*.webp: the admin's overview in each state of the world. ``python -m docs.images.overview``

What a picture can't wait for (half an hour of traffic, newer code, a restored log) is written into the tables.
"""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from playwright.sync_api import Browser, Page, ViewportSize

from testproject.demo import manage
from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.waiting import wait_until
from testproject.web_pod import WebPod
from testproject.worker import Worker
from tests.cluster.chromium import chromium
from tests.cluster.script import Script
from via_state.bookkeeping.positions import BLOCKED

FOLDER = Path(__file__).parent
SCREEN: ViewportSize = {"width": 1180, "height": 760}
PHONE: ViewportSize = {"width": 390, "height": 844}
QUALITY = 82

TRAFFIC = """
INSERT INTO via_state_rate (prefix, minute, template, handler, done, failed)
SELECT 'via', extract(epoch FROM now())::bigint / 60 - n, template, handler, done, 0
FROM generate_series(1, 30) n, LATERAL (VALUES
    ('', '', 640 + (190 * sin(n / 4.0))::int + n % 7 * 13), ('orders', 'ship', 320 + (90 * sin(n / 4.0))::int + n % 5 * 11)
) AS one (template, handler, done)
ON CONFLICT (prefix, minute, template, handler) DO UPDATE SET done = excluded.done
"""
HELD = f"""
UPDATE via_state_handlerposition SET stuck_since = now() - interval '9 minutes', attempts = 0, next_attempt_at = now() + interval '1 hour',
    last_error = '{BLOCKED}'
"""
HALTED = """
UPDATE via_state_handlerposition SET stuck_since = NULL, attempts = 0, last_error = '', halted = 'epoch',
    halted_text = 'The log was recreated, or restored from a backup: say where it resumes.';
INSERT INTO via_state_haltedkey (prefix, key, pod, host, reason, text, "offset", since, lease_until)
VALUES ('via', 'jobs', 'f00d', 'web-7', 'code', 'A record is of newer code: Job, version 3.', 7, now() - interval '25 minutes', now() + interval '1 hour')
"""
WELL = """
UPDATE via_state_handlerposition SET stuck_since = NULL, attempts = 0, last_error = '', halted = '', halted_text = '', next_attempt_at = NULL;
DELETE FROM via_state_haltedkey; DELETE FROM via_state_deadletter
"""


@contextmanager
def world() -> Iterator[tuple[Postgres, Nats, WebPod, WebPod, Worker, str]]:
    """A cluster over NATS: the servers, a web pod, one whose state is in memory, a worker, and the password of the admin's user."""
    with TemporaryDirectory(prefix="via-state-picture-") as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)
        database, token = Postgres(folder / "postgres"), folder / "nats-token"
        running.callback(database.stop)
        database.start()
        nats = Nats(folder / "nats")
        running.callback(nats.stop)
        nats.start()
        token.touch(0o600)
        token.write_text(nats.token)
        environment = {
            **database.environment,
            "VIA_NATS_SERVERS": f"nats://{nats.address}",
            "VIA_NATS_TOKEN_FILE": str(token),
            "PGOPTIONS": "-c statement_timeout=1500",
        }
        manage(environment, "migrate", "--verbosity", "0")
        password = manage(environment, "demo_admin")
        worker = Worker(folder, environment)
        pod = WebPod("web 1", folder, environment)
        alone = WebPod("web 2", folder, {**environment, "DJANGO_SETTINGS_MODULE": "docs.images.memory_settings"})
        for one in (worker, pod, alone):
            running.callback(one.process.stop)
            one.start()
        yield database, nats, pod, alone, worker, password


class Camera:
    """Takes pictures of the page in one colour scheme and size."""

    def __init__(self, browser: Browser, pod: WebPod, password: str) -> None:
        self._browser, self._url = browser, f"{pod.url}/admin/via_state/overview/"
        page = self._page(SCREEN, dark=False)
        page.goto(self._url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(self._url)
        self._cookies = page.context.cookies()

    def _page(self, size: ViewportSize, *, dark: bool) -> Page:
        return self._browser.new_page(
            viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )

    def take(
        self,
        name: str,
        says: str,
        *,
        size: ViewportSize = SCREEN,
        dark: bool = False,
        of: WebPod | None = None,
        term: str = "",
    ) -> None:
        """A picture of the page as soon as it says this."""
        page = self._page(size, dark=dark)
        page.context.add_cookies(self._cookies)  # type: ignore[arg-type]
        deadline = time.monotonic() + 200
        url = self._url if of is None else f"{of.url}/admin/via_state/overview/"
        url += f"?q={term}" if term else ""
        while page.goto(url) and says not in page.inner_text("body"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name}: the page does not say {says!r}: {page.inner_text('#content')}")
        page.evaluate(
            "document.getElementById('nav-sidebar')?.remove(); document.getElementById('toggle-nav-sidebar')?.remove()"
        )
        height = page.evaluate("Math.ceil(document.getElementById('content').getBoundingClientRect().bottom) + 16")
        page.set_viewport_size({"width": size["width"], "height": min(max(height, 300), 1400)})
        session = page.context.new_cdp_session(page)
        taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
        (FOLDER / f"overview-{name}.webp").write_bytes(base64.b64decode(taken["data"]))
        page.close()


def main() -> None:
    """Bring each state about, and take its picture."""
    with (
        world() as (database, nats, pod, alone, worker, password),
        chromium() as browser,
        psycopg.connect(database.dsn, autocommit=True) as books,
    ):
        visitor = Script()
        order(visitor, pod)
        wait_until(
            lambda: books.execute("SELECT count(*) FROM via_state_handlerposition").fetchone() == (1,),
            "a delivery",
        )
        books.execute(TRAFFIC)
        camera = Camera(browser, pod, password)
        camera.take("well", "All well")
        camera.take("well-dark", "All well", dark=True)
        visitor.post(f"{pod.url}/orders/", carrier="on strike")
        order(visitor, pod)
        camera.take("stuck", " at one record")
        camera.take("stuck-dark", " at one record", dark=True)
        camera.take("stuck-phone", " at one record", size=PHONE)
        camera.take("found", "What is exactly so", term="orders")
        worker.process.signal(signal.SIGSTOP)  # what follows stays written
        books.execute(HELD)
        camera.take("held", "can't continue")
        books.execute(HALTED)
        camera.take("halted", "is halted (epoch)")
        books.execute(WELL)
        visitor.post(f"{pod.url}/orders/", carrier="at work")
        worker.process.signal(signal.SIGCONT)
        with psycopg.connect(database.dsn) as other:
            other.execute("LOCK TABLE via_state_deadletter IN ACCESS EXCLUSIVE MODE")
            camera.take("database-slow", "statement timeout")
        worker.process.stop()
        camera.take("no-worker", "no worker is alive")
        nats.stop()
        camera.take("backplane-away", "does not answer")
        camera.take("memory", "uses the memory backplane", of=alone)


def order(visitor: Script, pod: WebPod) -> None:
    """Somebody orders something, and counts."""
    for _ in range(5):
        visitor.post(f"{pod.url}/counter/")
    visitor.post(f"{pod.url}/orders/", item="Teapot", address="1 High Street")


if __name__ == "__main__":
    main()
